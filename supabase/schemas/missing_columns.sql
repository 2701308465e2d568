-- Adds the columns that the service needs to tables of a live project that is older than the columns. They are without
-- constraints that existing rows might violate, and without defaults that would change what existing rows mean. A table
-- that schemas/platform has made has all of them.

alter table public.agents
  add column if not exists system_prompt text,
  add column if not exists ai_model text,
  add column if not exists temperature numeric,
  add column if not exists max_tokens integer,
  add column if not exists knowledge_base jsonb,
  add column if not exists is_published boolean not null default false,
  -- Existing agents have no known time of creation; new ones get it by the default below.
  add column if not exists created_at timestamptz,
  add column if not exists is_heavy boolean not null default false,
  add column if not exists railway_url text;
alter table public.agents alter column created_at set default now();

alter table public.agent_functions
  add column if not exists description text,
  add column if not exists trigger_keywords text[] not null default '{}',
  add column if not exists config jsonb not null default '{}',
  add column if not exists is_enabled boolean not null default true,
  add column if not exists execution_order integer not null default 0;

alter table public.agent_schedules
  add column if not exists user_id uuid,
  add column if not exists agent_id uuid,
  add column if not exists is_enabled boolean not null default false,
  add column if not exists cron_expression text,
  add column if not exists timezone text default 'UTC',
  add column if not exists prompt_template text,
  add column if not exists output_action text default 'store',
  add column if not exists output_config jsonb,
  add column if not exists last_run_at timestamptz,
  add column if not exists next_run_at timestamptz,
  add column if not exists run_count integer not null default 0,
  add column if not exists last_result jsonb;

alter table public.scheduled_runs
  add column if not exists schedule_id uuid,
  add column if not exists agent_id uuid,
  add column if not exists user_id uuid,
  add column if not exists status text,
  add column if not exists started_at timestamptz default now(),
  add column if not exists completed_at timestamptz,
  add column if not exists generated_content text,
  add column if not exists output_result jsonb,
  add column if not exists error_message text,
  add column if not exists credits_used integer,
  -- The page lists the newest.
  add column if not exists created_at timestamptz default now();

alter table public.api_keys
  add column if not exists id uuid not null default gen_random_uuid(),
  add column if not exists last_used_at timestamptz,
  add column if not exists is_active boolean not null default true,
  add column if not exists created_at timestamptz;
alter table public.api_keys alter column created_at set default now();

alter table public.credit_balances
  add column if not exists credits_used_this_month integer not null default 0,
  add column if not exists plan_type text not null default 'free';

alter table public.credit_usage
  add column if not exists id uuid not null default gen_random_uuid(),
  add column if not exists agent_id uuid,
  add column if not exists metadata jsonb,
  add column if not exists created_at timestamptz not null default now();
