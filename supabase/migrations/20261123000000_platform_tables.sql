-- The platform's tables, created only where they are missing, so that this file applies to an empty Supabase
-- database and to the live one alike. Columns the service reads are added to tables that exist without them.

-- Which of them were missing: only those get policies below.
select set_config('jeesi.new_tables', coalesce((
  select string_agg(name, ',') from unnest(array['agents', 'credit_balances', 'credit_usage', 'api_keys', 'user_roles',
    'agent_functions', 'agent_schedules', 'scheduled_runs', 'conversations', 'messages']) as name
    where to_regclass('public.' || name) is null), ''), false);

do $$
begin
  if to_regtype('public.app_role') is null then
    create type public.app_role as enum ('admin', 'moderator', 'user');
  end if;
end $$;

create table if not exists public.agents (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  name text not null,
  description text,
  purpose text not null,
  status text not null default 'draft',
  system_prompt text,
  ai_model text,
  temperature numeric,
  max_tokens integer,
  knowledge_base jsonb,
  is_published boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
alter table public.agents
  add column if not exists system_prompt text,
  add column if not exists ai_model text,
  add column if not exists temperature numeric,
  add column if not exists max_tokens integer,
  add column if not exists knowledge_base jsonb,
  add column if not exists is_published boolean not null default false,
  -- Of agents that are there already nobody knows when they were made.
  add column if not exists created_at timestamptz,
  add column if not exists is_heavy boolean not null default false,
  add column if not exists railway_url text,
  add column if not exists executor text not null default 'model' check (executor in ('model', 'python')),
  add column if not exists entrypoint text;
alter table public.agents alter column created_at set default now();

create table if not exists public.credit_balances (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null unique references auth.users (id) on delete cascade,
  credits_remaining integer not null default 0 check (credits_remaining >= 0),
  credits_used_this_month integer not null default 0,
  plan_type text not null default 'free',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table if not exists public.credit_usage (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  agent_id uuid references public.agents (id) on delete set null,
  credits_used integer not null,
  operation_type text not null,
  metadata jsonb,
  created_at timestamptz not null default now()
);
alter table public.credit_usage
  add column if not exists id uuid not null default gen_random_uuid(),
  add column if not exists agent_id uuid,
  add column if not exists metadata jsonb,
  add column if not exists created_at timestamptz not null default now();
create index if not exists credit_usage_newest on public.credit_usage (user_id, created_at desc);

create table if not exists public.api_keys (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  key_name text not null,
  key_hash text not null,
  key_prefix text not null,
  last_used_at timestamptz,
  is_active boolean not null default true,
  created_at timestamptz not null default now()
);
alter table public.api_keys
  add column if not exists id uuid not null default gen_random_uuid(),
  add column if not exists last_used_at timestamptz,
  add column if not exists is_active boolean not null default true;
create index if not exists api_keys_by_hash on public.api_keys (key_hash);

alter table public.credit_balances
  add column if not exists credits_used_this_month integer not null default 0,
  add column if not exists plan_type text not null default 'free';

create table if not exists public.user_roles (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  role public.app_role not null,
  created_at timestamptz not null default now(),
  unique (user_id, role)
);

create table if not exists public.agent_functions (
  id uuid primary key default gen_random_uuid(),
  agent_id uuid not null references public.agents (id) on delete cascade,
  name text not null,
  description text,
  function_type text not null,
  trigger_keywords text[] not null default '{}',
  config jsonb not null default '{}',
  is_enabled boolean not null default true,
  execution_order integer not null default 0,
  created_at timestamptz not null default now()
);
alter table public.agent_functions
  add column if not exists is_enabled boolean not null default true,
  add column if not exists execution_order integer not null default 0;
create index if not exists agent_functions_in_order on public.agent_functions (agent_id, execution_order);

create table if not exists public.agent_schedules (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  agent_id uuid not null references public.agents (id) on delete cascade,
  cron_expression text not null,
  timezone text not null default 'UTC',
  prompt_template text not null,
  output_action text not null default 'store',
  is_active boolean not null default true,
  created_at timestamptz not null default now()
);

create table if not exists public.scheduled_runs (
  id uuid primary key default gen_random_uuid(),
  schedule_id uuid not null references public.agent_schedules (id) on delete cascade,
  status text not null,
  result text,
  error text,
  started_at timestamptz not null default now(),
  completed_at timestamptz
);

create table if not exists public.conversations (
  id uuid primary key default gen_random_uuid(),
  user_id uuid references auth.users (id) on delete cascade,
  agent_id uuid not null references public.agents (id) on delete cascade,
  created_at timestamptz not null default now()
);

create table if not exists public.messages (
  id uuid primary key default gen_random_uuid(),
  conversation_id uuid not null references public.conversations (id) on delete cascade,
  role text not null,
  content text not null,
  created_at timestamptz not null default now()
);

-- Since 2026-10-30 a new table in `public` is granted to nobody, not even to service_role.
grant select, insert, update, delete on
  public.agents, public.credit_balances, public.credit_usage, public.api_keys, public.user_roles,
  public.agent_functions, public.agent_schedules, public.scheduled_runs, public.conversations, public.messages
  to service_role;

create or replace function public.has_role(_user_id uuid, _role public.app_role) returns boolean
language sql stable security definer set search_path = '' as $$
  select exists (select from public.user_roles where user_id = _user_id and role = _role)
$$;
grant execute on function public.has_role(uuid, public.app_role) to authenticated, service_role;

-- A table made here gets row-level security and the rule "your own rows": what users own they may change, what is money
-- or a right they may only read. Tables that were there keep what they have: pages that work with them go on working.
do $$
declare
  rule record;
begin
  for rule in
    select * from (values
      ('agents',          'all',    'user_id = (select auth.uid())'),
      ('api_keys',        'all',    'user_id = (select auth.uid())'),
      ('agent_schedules', 'all',    'user_id = (select auth.uid())'),
      ('conversations',   'all',    'user_id = (select auth.uid())'),
      ('credit_balances', 'select', 'user_id = (select auth.uid())'),
      ('credit_usage',    'select', 'user_id = (select auth.uid())'),
      ('user_roles',      'select', 'user_id = (select auth.uid())'),
      ('agent_functions', 'all',    'exists (select from public.agents a where a.id = agent_id and a.user_id = (select auth.uid()))'),
      ('scheduled_runs',  'select', 'exists (select from public.agent_schedules s where s.id = schedule_id and s.user_id = (select auth.uid()))'),
      ('messages',        'all',    'exists (select from public.conversations c where c.id = conversation_id and c.user_id = (select auth.uid()))')
    ) as r (table_name, command, condition)
  loop
    continue when rule.table_name <> all (string_to_array(current_setting('jeesi.new_tables'), ','));
    execute format('alter table public.%I enable row level security', rule.table_name);
    execute format('create policy %I on public.%I for %s to authenticated using (%s)',
      rule.table_name || '_own', rule.table_name, rule.command, rule.condition);
    -- Older projects grant everything on a new table to everybody.
    execute format('revoke all on public.%I from public, anon, authenticated', rule.table_name);
    execute format('grant %s on public.%I to authenticated',
      case rule.command when 'all' then 'select, insert, update, delete' else 'select' end, rule.table_name);
  end loop;
end $$;
