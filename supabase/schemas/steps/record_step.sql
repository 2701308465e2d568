-- Records a finished step, so that it is never done again. A repeated call records nothing new.
--   p_step     {kind, name, finishReason, usage, startedAt}, which the user may read, and credits: the run's cost so far
--   p_record   what another process needs to go on after the step
--   p_credits  what the run may cost by the end of its next step; the reservation grows to that
--   p_told     the events since the step before: {first, events}
-- Returns {reserved, isEnough}.
create function public.record_step(
  p_run_id uuid, p_attempt integer, p_number integer, p_step jsonb, p_record jsonb, p_credits integer default 0,
  p_told jsonb default null
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
  v_reserved integer;
begin
  select * into v_run from public.agent_runs where id = p_run_id for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  if v_run.attempt <> p_attempt or v_run.finished_at is not null then
    raise sqlstate 'PT409' using hint = 'stale_attempt', message = 'Another attempt has taken this run over.';
  end if;
  insert into public.agent_run_checkpoints (run_id, step, record, attempt, told, told_last)
    values (p_run_id, p_number, p_record, p_attempt, p_told, (p_told ->> 'first')::bigint + jsonb_array_length(p_told -> 'events') - 1)
    on conflict (run_id, step) do update set attempt = excluded.attempt, told = excluded.told, told_last = excluded.told_last;
  insert into public.agent_run_steps (run_id, step, attempt, kind, name, finish_reason, usage, started_at)
    values (p_run_id, p_number, p_attempt, p_step ->> 'kind', p_step ->> 'name', p_step ->> 'finishReason', p_step -> 'usage',
      (p_step ->> 'startedAt')::timestamptz)
    on conflict do nothing;
  update public.agent_runs set credits_used = greatest(credits_used, (p_step ->> 'credits')::integer) where id = p_run_id;
  v_reserved := public.extend_reservation(p_run_id, p_credits);
  return jsonb_build_object('reserved', v_reserved, 'isEnough', not v_run.is_charged or v_reserved >= coalesce(p_credits, 0));
end $$;

revoke execute on function public.record_step(uuid, integer, integer, jsonb, jsonb, integer, jsonb)
  from public, anon, authenticated;
grant execute on function public.record_step(uuid, integer, integer, jsonb, jsonb, integer, jsonb) to service_role;
