-- The sizes of inputs that runs which have not ended were begun with before sizes were noted. It may be applied again.
update public.agent_run_inputs i
  set bytes = octet_length(input::text)
  from public.agent_runs r
  where r.id = i.run_id and r.finished_at is null and i.bytes is null;
