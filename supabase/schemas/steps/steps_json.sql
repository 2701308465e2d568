-- Returns the finished steps of a run in their order, the first 500: [{step, attempt, kind, name, finishReason, usage, startedAt, finishedAt}].
create function public.steps_json(p_run_id uuid) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return coalesce((
    select jsonb_agg(jsonb_build_object('step', s.step, 'attempt', s.attempt, 'kind', s.kind, 'name', s.name,
        'finishReason', s.finish_reason, 'usage', s.usage, 'startedAt', public.iso_time(s.started_at),
        'finishedAt', public.iso_time(s.finished_at)) order by s.step)
      from (select * from public.agent_run_steps where run_id = p_run_id order by step limit 500) s), '[]');
end $$;

revoke execute on function public.steps_json(uuid) from public, anon, authenticated;
grant execute on function public.steps_json(uuid) to service_role;
