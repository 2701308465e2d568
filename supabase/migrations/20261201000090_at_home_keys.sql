-- What limits on API keys need: columns, two tables, an index; and which key and visitor began a run. It may be applied again.

-- --- Keys ------------------------------------------------------------------------------------------------------------

alter table public.api_keys
  add column if not exists created_at timestamptz,
  add column if not exists is_publishable boolean not null default false,
  add column if not exists scopes text[] not null default '{}' check (scopes <@ array['read']),
  add column if not exists agent_ids uuid[],
  add column if not exists origins text[],
  add column if not exists requests_per_day integer check (requests_per_day >= 0),
  add column if not exists credits_per_day integer check (credits_per_day >= 0);
alter table public.api_keys alter column created_at set default now();
alter table public.api_keys drop constraint if exists api_keys_publishable;
alter table public.api_keys add constraint api_keys_publishable check (not is_publishable
  or (coalesce(cardinality(agent_ids), 0) > 0 and coalesce(cardinality(origins), 0) > 0 and scopes = '{}'
    and requests_per_day is not null and credits_per_day is not null));

create table if not exists public.spent_key_hashes (
  key_hash text primary key,
  user_id uuid not null
);
alter table public.spent_key_hashes enable row level security;
revoke all on public.spent_key_hashes from public, anon, authenticated;
grant select, insert, update, delete on public.spent_key_hashes to service_role;

create table if not exists public.visitor_secret (
  id boolean primary key default true check (id),
  secret text not null default gen_random_uuid() || '' || gen_random_uuid()
);
alter table public.visitor_secret enable row level security;
revoke all on public.visitor_secret from public, anon, authenticated;
grant select, insert, update, delete on public.visitor_secret to service_role;
insert into public.visitor_secret default values on conflict do nothing;

-- --- Runs ------------------------------------------------------------------------------------------------------------

alter table public.agent_runs
  add column if not exists api_key_id uuid,
  add column if not exists visitor text;
drop index if exists public.agent_runs_idempotency;
create unique index agent_runs_idempotency on public.agent_runs (user_id, idempotency_key, api_key_id, visitor)
  nulls not distinct where idempotency_key is not null;
create index if not exists agent_runs_of_key on public.agent_runs (api_key_id, created_at) where api_key_id is not null;

-- --- What goes -------------------------------------------------------------------------------------------------------

-- These have more parameters, and PostgREST takes no two functions of one name.
drop function if exists public.authenticate_api_key(text);
drop function if exists public.get_agent(uuid, uuid);
drop function if exists public.get_run(uuid, uuid);
drop function if exists public.cancel_run(uuid, uuid);
drop function if exists public.begin_run(uuid, uuid, text, jsonb, uuid, numeric, text, jsonb, boolean, boolean, jsonb);
