-- The platform's tables, with the columns, defaults, keys and policies that its live project has. Applied after
-- supabase/platform.sql to a database without the service's migrations. The grants are those of Supabase projects of this
-- age: everybody is granted everything, and row-level security is all there is.
alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges in schema public grant all on functions to anon, authenticated, service_role;
alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;

create type public.app_role as enum ('admin', 'moderator', 'user');

create table public.user_roles (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  role public.app_role not null,
  created_at timestamptz default now(),
  unique (user_id, role)
);

create table public.profiles (
  id uuid primary key references auth.users (id) on delete cascade,
  full_name text,
  created_at timestamptz default now()
);

create table public.workspaces (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  owner_id uuid not null references auth.users (id) on delete cascade,
  shared_credits integer default 0,
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);

create table public.workspace_members (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null references public.workspaces (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  role text not null default 'viewer' check (role in ('owner', 'admin', 'editor', 'viewer')),
  created_at timestamptz default now(),
  unique (workspace_id, user_id)
);

create table public.workspace_invitations (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null references public.workspaces (id) on delete cascade,
  email text not null,
  role text not null default 'viewer' check (role in ('owner', 'admin', 'editor', 'viewer')),
  created_at timestamptz default now()
);

create table public.agents (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  name text not null,
  description text,
  purpose text not null,
  tech_stack jsonb,
  features jsonb,
  status text default 'draft',
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  system_prompt text default 'You are a helpful AI assistant.',
  ai_model varchar(50) default 'google/gemini-2.5-flash',
  temperature numeric(2, 1) default 0.7,
  max_tokens integer default 1000,
  knowledge_base jsonb default '[]',
  is_published boolean default false,
  is_heavy boolean default false,
  railway_url text,
  workspace_id uuid references public.workspaces (id) on delete set null,
  is_shared_to_community boolean default false,
  community_category text,
  community_likes integer default 0,
  shared_at timestamptz
);

create table public.agent_functions (
  id uuid primary key default gen_random_uuid(),
  agent_id uuid not null references public.agents (id) on delete cascade,
  name text not null,
  description text,
  function_type text not null,
  trigger_keywords text[] default '{}',
  config jsonb not null default '{}',
  is_enabled boolean not null default true,
  execution_order integer not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table public.agent_schedules (
  id uuid primary key default gen_random_uuid(),
  agent_id uuid not null unique references public.agents (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  is_enabled boolean not null default false,
  schedule_type text not null default 'daily',
  cron_expression text not null default '0 9 * * *',
  timezone text not null default 'UTC',
  prompt_template text not null default 'Generate content',
  last_run_at timestamptz,
  next_run_at timestamptz,
  run_count integer not null default 0,
  last_result jsonb default '{}',
  output_action text not null default 'store',
  output_config jsonb default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table public.scheduled_runs (
  id uuid primary key default gen_random_uuid(),
  schedule_id uuid not null references public.agent_schedules (id) on delete cascade,
  agent_id uuid not null references public.agents (id) on delete cascade,
  user_id uuid not null,
  status text not null default 'pending',
  started_at timestamptz,
  completed_at timestamptz,
  generated_content text,
  output_result jsonb default '{}',
  error_message text,
  credits_used integer default 0,
  created_at timestamptz not null default now()
);

create table public.api_keys (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  key_name text not null,
  key_hash text not null,
  key_prefix text not null,
  last_used_at timestamptz,
  is_active boolean default true,
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);

create table public.credit_balances (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null unique references auth.users (id) on delete cascade,
  credits_remaining integer not null default 0,
  credits_used_this_month integer not null default 0,
  plan_type text not null default 'basic',
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);

create table public.credit_usage (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  agent_id uuid references public.agents (id) on delete set null,
  credits_used integer not null,
  operation_type text not null,
  metadata jsonb default '{}',
  created_at timestamptz default now()
);

create table public.conversations (
  id uuid primary key default gen_random_uuid(),
  user_id uuid references auth.users (id) on delete cascade,
  agent_id uuid references public.agents (id) on delete set null,
  title text,
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);

create table public.messages (
  id uuid primary key default gen_random_uuid(),
  conversation_id uuid not null references public.conversations (id) on delete cascade,
  role text not null check (role in ('user', 'assistant')),
  content text not null,
  created_at timestamptz default now(),
  attachments jsonb default '[]'
);

create table public.platform_analytics (
  id uuid primary key default gen_random_uuid(),
  user_id uuid references auth.users (id) on delete cascade,
  agent_id uuid references public.agents (id) on delete set null,
  event_type text not null,
  prompt_text text,
  response_preview text,
  response_time_ms integer,
  tokens_used integer,
  error_type text,
  error_message text,
  metadata jsonb default '{}',
  created_at timestamptz default now()
);
