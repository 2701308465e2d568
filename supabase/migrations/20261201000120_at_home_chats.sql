-- Which run answers which chat of a page, as the page calls it. It may be applied again.
create table if not exists public.agent_run_chats (
  run_id uuid primary key references public.agent_runs (id) on delete cascade,
  user_id uuid not null,
  chat_id text not null,
  protocol text not null,
  told boolean not null default false,
  page_run text,
  messages jsonb,
  created_at timestamptz not null default now()
);
create index if not exists agent_run_chats_of_user on public.agent_run_chats (user_id, chat_id, created_at desc);
alter table public.agent_run_chats enable row level security;
revoke all on public.agent_run_chats from public, anon, authenticated;
grant select, insert, update, delete on public.agent_run_chats to service_role;
