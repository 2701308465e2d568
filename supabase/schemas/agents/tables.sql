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
