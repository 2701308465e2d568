-- Generated from supabase/schemas by `npm run schema`; edit those files instead of this one.
--
-- Defines the functions and triggers that are new in this release, or other than in the one before. It may be applied again.

-- schemas/common/schema_version.sql

-- Returns {version, oldest, writable}: the version of these definitions, the oldest version of the service's code that
-- they still serve, and whether the database accepts writes, which a standby does not. The service compares them with
-- its own version before it uses the database.
create or replace function public.schema_version() returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object('version', 5, 'oldest', 4,
    'writable', not pg_catalog.pg_is_in_recovery() and pg_catalog.current_setting('transaction_read_only') = 'off')
$$;

revoke execute on function public.schema_version() from public, anon, authenticated;
grant execute on function public.schema_version() to service_role;

-- PostgREST learns of what is new.
notify pgrst, 'reload schema';
