-- Supabase projects made since 2026-10-30 grant a new table in `public` to nobody, not even to service_role.
grant select, insert, update, delete on
  public.agents, public.agent_functions, public.agent_schedules, public.scheduled_runs, public.conversations,
  public.messages, public.credit_balances, public.credit_usage, public.api_keys, public.user_roles
  to service_role;

-- Users read their own roles, admins read all. Who may write them in a live project, the mending of it decides.
alter table public.user_roles enable row level security;
revoke all on public.user_roles from public, anon, authenticated;
grant select on public.user_roles to authenticated;
create policy user_roles_own on public.user_roles for select to authenticated
  using (user_id = (select auth.uid()));
create policy user_roles_admin on public.user_roles for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));

-- What a key may. The defaults are those of a key that the platform's page makes. No column gives a key more than its owner
-- has, so owners may write all of them.
alter table public.api_keys
  -- Whether it stands in public pages: it then has agents, origins and limits, and tells its visitors apart.
  add column is_publishable boolean not null default false,
  -- `read`: it may list and read its owner's runs, and read the balance.
  add column scopes text[] not null default '{}' check (scopes <@ array['read']),
  -- The published agents that it executes; null or empty means all.
  add column agent_ids uuid[],
  -- The origins of the pages that may send it, as browsers name them; null or empty means any caller.
  add column origins text[],
  -- How many runs it may begin in 24 hours, and what they may cost; null means any number.
  add column requests_per_day integer check (requests_per_day >= 0),
  add column credits_per_day integer check (credits_per_day >= 0),
  add constraint api_keys_publishable check (not is_publishable
    or (coalesce(cardinality(agent_ids), 0) > 0 and coalesce(cardinality(origins), 0) > 0 and scopes = '{}'
      and requests_per_day is not null and credits_per_day is not null));

-- Revoked keys count too: a page may still show one, and whoever registered its hash anew would read that page's visitors.
create unique index api_keys_by_hash on public.api_keys (key_hash);

-- The hashes of keys whose rows are gone, for the same reason. Their last owner may register them again, nobody else.
create table public.spent_key_hashes (
  key_hash text primary key,
  user_id uuid not null
);
alter table public.spent_key_hashes enable row level security;
revoke all on public.spent_key_hashes from public, anon, authenticated;
grant select, insert, update, delete on public.spent_key_hashes to service_role;

-- What the secrets that sign visitors' tokens are derived from: one row. Another secret ends all tokens.
create table public.visitor_secret (
  id boolean primary key default true check (id),
  secret text not null default gen_random_uuid() || '' || gen_random_uuid()
);
alter table public.visitor_secret enable row level security;
revoke all on public.visitor_secret from public, anon, authenticated;
grant select, insert, update, delete on public.visitor_secret to service_role;
insert into public.visitor_secret default values;

-- Tickets of pages, by the SHA-256 of each in hex. A caller has the fields of the service's own, without when its token ends.
-- `run_id` is the run that the ticket is for, or was first used on.
create table public.access_tickets (
  hash text primary key,
  user_id uuid not null,
  caller jsonb not null,
  run_id uuid,
  expires_at timestamptz not null,
  used_at timestamptz
);
create index access_tickets_by_expiry on public.access_tickets (expires_at);
create index access_tickets_of_user on public.access_tickets (user_id);
alter table public.access_tickets enable row level security;
revoke all on public.access_tickets from public, anon, authenticated;
grant select, insert, update, delete on public.access_tickets to service_role;
