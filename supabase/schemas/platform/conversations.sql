create table public.conversations (
  id uuid primary key default gen_random_uuid(),
  user_id uuid references auth.users (id) on delete cascade,
  agent_id uuid references public.agents (id) on delete set null,
  title text,
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);
alter table public.conversations enable row level security;
revoke all on public.conversations from public, anon, authenticated;
grant select, insert, update, delete on public.conversations to authenticated;
create policy conversations_own on public.conversations for all to authenticated
  using (user_id = (select auth.uid()));
