-- Steps of runs that are under way. It may be applied again.
update public.agent_run_checkpoints
  set told_last = (told ->> 'first')::bigint + jsonb_array_length(told -> 'events') - 1
  where told_last is null and told is not null;
