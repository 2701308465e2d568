-- Formats a time as ISO 8601 in UTC with milliseconds.
create function public.iso_time(p_time timestamptz) returns text
language sql immutable set search_path = '' as $$
  select to_char(p_time at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;

revoke execute on function public.iso_time(timestamp with time zone) from public, anon, authenticated;
grant execute on function public.iso_time(timestamp with time zone) to service_role;
