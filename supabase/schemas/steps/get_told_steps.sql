-- Returns the events of finished steps of unfinished runs: [{runId, attempt, told: [{first, events}]}]. Readers that are
-- connected to another process than the run's get them this way.
--   p_cursors  {runId: the number of the last event that the reader knows}
create function public.get_told_steps(p_cursors jsonb) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('runId', r.id, 'attempt', r.attempt, 'told', t.told)), '[]')
    from jsonb_each_text(p_cursors) as wanted (id, cursor)
    join public.agent_runs r on r.id = wanted.id::uuid and r.finished_at is null
    cross join lateral (
      select jsonb_agg(c.told order by c.step) as told from public.agent_run_checkpoints c
        where c.run_id = r.id and c.attempt = r.attempt and (c.told ->> 'first')::bigint + jsonb_array_length(c.told -> 'events') > wanted.cursor::bigint + 1) t
    where t.told is not null
$$;

revoke execute on function public.get_told_steps(jsonb) from public, anon, authenticated;
grant execute on function public.get_told_steps(jsonb) to service_role;
