-- Creates what Supabase provides and a bare PostgreSQL lacks: three roles, and the part of schema `auth` that the
-- migrations rely on. The embedded mode and `npm run migrate` apply it; in a Supabase project, where all of it exists, it
-- changes nothing. It may be applied again.

do $$
declare
  role_name text;
begin
  -- Of several at once, one goes on: two that write one row of a catalog would fail.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('jeesi.migrations', 0));
  foreach role_name in array array['anon', 'authenticated', 'service_role'] loop
    if not exists (select from pg_catalog.pg_roles where rolname = role_name) then
      -- All databases of a server share its roles: another migration may create this one in the meantime.
      begin
        execute format('create role %I nologin', role_name);
      exception when duplicate_object or unique_violation then null;
      end;
    end if;
  end loop;
  if not (select rolbypassrls from pg_catalog.pg_roles where rolname = 'service_role') then
    alter role service_role bypassrls;
  end if;
end $$;

-- Another role owns schema `auth` on Supabase, and even `create … if not exists` is denied there: look first.
do $$
begin
  if to_regnamespace('auth') is null then
    create schema auth;
    grant usage on schema auth to anon, authenticated, service_role;
  end if;
  if to_regclass('auth.users') is null then
    create table auth.users (
      id uuid primary key,
      instance_id uuid,
      aud text,
      role text,
      email text unique,
      encrypted_password text,
      email_confirmed_at timestamptz,
      created_at timestamptz default now(),
      updated_at timestamptz default now()
    );
  end if;
end $$;
grant usage on schema public to anon, authenticated, service_role;

do $$
begin
  if to_regprocedure('auth.jwt()') is null then
    create function auth.jwt() returns jsonb language sql stable as $f$
      select coalesce(nullif(current_setting('request.jwt.claims', true), ''), '{}')::jsonb
    $f$;
  end if;
  if to_regprocedure('auth.uid()') is null then
    create function auth.uid() returns uuid language sql stable as $f$
      select nullif(auth.jwt() ->> 'sub', '')::uuid
    $f$;
  end if;
  if to_regprocedure('auth.role()') is null then
    create function auth.role() returns text language sql stable as $f$
      select auth.jwt() ->> 'role'
    $f$;
  end if;
end $$;
