-- Returns {version, oldest, writable, now}: the version of these definitions, the oldest version of the service's code that
-- they still serve, whether the database accepts writes, which a standby does not, and its time. The service compares them with
-- its own version before it uses the database.
create function public.schema_version() returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object('version', 5, 'oldest', 4,
    'writable', not pg_catalog.pg_is_in_recovery() and pg_catalog.current_setting('transaction_read_only') = 'off',
    'now', public.iso_time(clock_timestamp()))
$$;

revoke execute on function public.schema_version() from public, anon, authenticated;
grant execute on function public.schema_version() to service_role;
