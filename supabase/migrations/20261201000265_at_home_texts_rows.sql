-- Leaves of the inputs that were kept beyond the end of their runs the messages alone. It may be applied again.
update public.agent_run_inputs i set input = input - array['agent', 'rates', 'cached']
  from public.agent_runs r
  where r.id = i.run_id and r.finished_at is not null and i.input ? 'agent';
