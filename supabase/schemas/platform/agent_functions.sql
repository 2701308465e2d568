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
alter table public.agent_functions enable row level security;
revoke all on public.agent_functions from public, anon, authenticated;
grant select, insert, update, delete on public.agent_functions to authenticated;
create policy agent_functions_own on public.agent_functions for all to authenticated
  using (exists (select from public.agents a where a.id = agent_id and a.user_id = (select auth.uid())));
