-- The version of what stands in these files; the oldest version of the service that it still serves; and whether the
-- database can be written to, which a standby and a read-only one cannot.
create or replace function public.schema_version() returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'version', 2,
    'oldest', 1,
    'writable', not pg_catalog.pg_is_in_recovery() and pg_catalog.current_setting('transaction_read_only') = 'off')
$$;
revoke execute on function public.schema_version() from public, anon, authenticated;
grant execute on function public.schema_version() to service_role;
