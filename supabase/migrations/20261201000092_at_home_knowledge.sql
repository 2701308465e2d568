-- What is kept of knowledge that is larger than its author may write. It may be applied again.
create table if not exists public.agent_knowledge_cuts (
  agent_id uuid primary key references public.agents (id) on delete cascade,
  knowledge jsonb not null
);
alter table public.agent_knowledge_cuts enable row level security;
revoke all on public.agent_knowledge_cuts from public, anon, authenticated;
grant select, insert, update, delete on public.agent_knowledge_cuts to service_role;
