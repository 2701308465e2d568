-- Returns an agent's knowledge without most of what is beyond the limit of its author (1,000,000 bytes as JSON): the entries up to
-- the first that does not fit, of which a text has its first 1,000,000 characters. Rows from before the limit may have any size,
-- and each run would read, write and send them whole. supabase/functions/_shared/bounds/fit-agent.ts cuts the rest, and says so.
create function public.fit_knowledge(p_knowledge jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  c_max constant integer := 1000000;
begin
  -- What is small needs no text made of it.
  if p_knowledge is null or pg_column_size(p_knowledge) < 8000 or octet_length(p_knowledge::text) <= c_max then
    return p_knowledge;
  end if;
  return (
    with entries as (
      select value, n, coalesce(sum(octet_length(value::text)) over (order by n rows between unbounded preceding and 1 preceding), 0) as before
        from jsonb_array_elements(case jsonb_typeof(p_knowledge) when 'array' then p_knowledge else jsonb_build_array(p_knowledge) end)
          with ordinality as elements (value, n)
    )
    select jsonb_agg(case
        when octet_length(value::text) <= c_max then value
        when jsonb_typeof(value) = 'string' then to_jsonb(left(value #>> '{}', c_max))
        else to_jsonb(left(value ->> 'content', c_max)) end order by n)
      from entries where before <= c_max);
end $$;

revoke execute on function public.fit_knowledge(jsonb) from public, anon, authenticated;
grant execute on function public.fit_knowledge(jsonb) to service_role;
