-- What is counted when a run begins: the unfinished runs of its user, and those that wait. It may be applied again.
create index if not exists agent_runs_of_user on public.agent_runs (user_id) where finished_at is null;
create index if not exists agent_runs_waiting on public.agent_runs (user_id)
  where finished_at is null and (owner is null or lease_until = '-infinity');
