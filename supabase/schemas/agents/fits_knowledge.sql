-- Whether a value in memory has 1,000,000 bytes of JSON at the most. The text is made where its size is in doubt alone: no value
-- is six times as long in memory as its text, and no text six times as long as its value.
create function public.fits_knowledge(p_value jsonb) returns boolean
language sql immutable set search_path = '' as $$
  select case
    when pg_column_size(p_value) <= 160000 then true
    when pg_column_size(p_value) > 8000000 then false
    else octet_length(p_value::text) <= 1000000 end
$$;

revoke execute on function public.fits_knowledge(jsonb) from public, anon, authenticated;
grant execute on function public.fits_knowledge(jsonb) to service_role;
