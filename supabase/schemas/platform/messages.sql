create table public.messages (
  id uuid primary key default gen_random_uuid(),
  conversation_id uuid not null references public.conversations (id) on delete cascade,
  role text not null check (role in ('user', 'assistant')),
  content text not null,
  created_at timestamptz default now(),
  attachments jsonb default '[]'
);
alter table public.messages enable row level security;
revoke all on public.messages from public, anon, authenticated;
grant select, insert, update, delete on public.messages to authenticated;
create policy messages_own on public.messages for all to authenticated
  using (exists (select from public.conversations c where c.id = conversation_id and c.user_id = (select auth.uid())));
