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
  -- In a live project this references a table that the service does not use.
  workspace_id uuid,
  is_shared_to_community boolean default false,
  community_category text,
  community_likes integer default 0,
  shared_at timestamptz
);
alter table public.agents enable row level security;
revoke all on public.agents from public, anon, authenticated;
grant select, insert, update, delete on public.agents to authenticated;
create policy agents_own on public.agents for all to authenticated
  using (user_id = (select auth.uid()));
