-- The service's columns of the platform's agents.
alter table public.agents
  -- What runs the agent, and for `python` the code: `package.module:function`.
  add column executor text not null default 'model' check (executor in ('model', 'python')),
  add column entrypoint text,
  -- Null means the service's default.
  add column max_steps integer check (max_steps between 1 and 100),
  -- How long responses are cached; only those of agents with temperature 0 are.
  add column cache_seconds integer check (cache_seconds between 0 and 31536000),
  -- The railway_url that the agent's owner asks for, and since when, until an admin has approved or refused it. The edge
  -- function sends its secret to railway_url, so that column has only what an admin has approved.
  add column railway_url_requested text,
  add column railway_url_requested_at timestamptz;

create index agent_functions_in_order on public.agent_functions (agent_id, execution_order);
create index agents_waiting_for_railway_url on public.agents (railway_url_requested_at) where railway_url_requested is not null;

-- The knowledge of agents that had more than authors may write before that was limited, cut to what a run gets. Without it each run
-- would decompress the whole: of 60 MB that takes most of a second. A row lasts until its agent's knowledge changes.
create table public.agent_knowledge_cuts (
  agent_id uuid primary key references public.agents (id) on delete cascade,
  knowledge jsonb not null
);
alter table public.agent_knowledge_cuts enable row level security;
revoke all on public.agent_knowledge_cuts from public, anon, authenticated;
grant select, insert, update, delete on public.agent_knowledge_cuts to service_role;
