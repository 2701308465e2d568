-- Returns an agent's knowledge without most of what is beyond the limit of its author (1,000,000 bytes as JSON): the entries up to
-- the first that does not fit, of which a text has its first 1,000,000 characters. Rows from before the limit may have any size,
-- and each run would read, write and send them whole. supabase/functions/_shared/bounds/fit-agent.ts cuts the rest, and says so.
--   p_knowledge  in memory, as to_jsonb returns it: of a value in its table each look at an entry would decompress the whole
create function public.fit_knowledge(p_knowledge jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  v_all jsonb := p_knowledge;
  -- So many entries fit, and so many do not.
  v_within integer := 0;
  v_beyond integer := 1;
  v_entry jsonb;
begin
  if p_knowledge is null or public.fits_knowledge(p_knowledge) then
    return p_knowledge;
  end if;
  if jsonb_typeof(v_all) <> 'array' then
    v_all := jsonb_build_array(v_all);
  end if;
  while v_beyond < jsonb_array_length(v_all) and public.fits_knowledge(public.first_entries(v_all, v_beyond)) loop
    v_within := v_beyond;
    v_beyond := v_beyond * 2;
  end loop;
  v_beyond := least(v_beyond, jsonb_array_length(v_all));
  while v_beyond - v_within > 1 loop
    if public.fits_knowledge(public.first_entries(v_all, (v_within + v_beyond) / 2)) then
      v_within := (v_within + v_beyond) / 2;
    else
      v_beyond := (v_within + v_beyond) / 2;
    end if;
  end loop;
  v_entry := v_all -> v_within;
  return public.first_entries(v_all, v_within) || jsonb_build_array(
    left(case jsonb_typeof(v_entry) when 'string' then v_entry #>> '{}' else v_entry ->> 'content' end, 1000000));
end $$;

revoke execute on function public.fit_knowledge(jsonb) from public, anon, authenticated;
grant execute on function public.fit_knowledge(jsonb) to service_role;
