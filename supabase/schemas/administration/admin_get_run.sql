-- Returns a run on behalf of an admin: as run_json does, with its user, its model, how many processes died over it, its finished
-- steps, and why it failed: `reason` of its end, and `failures` of the gateway, try by try, which its user does not read.
create function public.admin_get_run(p_admin_id uuid, p_run_id uuid) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
  v_failed public.agent_run_failures;
begin
  select * into v_run from public.agent_runs where id = p_run_id;
  perform public.note_admin_action(p_admin_id, 'run', v_run.user_id, jsonb_build_object('runId', p_run_id));
  if v_run.id is null then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  select * into v_failed from public.agent_run_failures where run_id = p_run_id;
  return public.run_json(v_run) || jsonb_build_object(
    'userId', v_run.user_id,
    'model', v_run.model,
    'crashes', v_run.crashes,
    'reason', v_failed.reason,
    'failures', coalesce(v_failed.failures, '[]'),
    'steps', public.steps_json(p_run_id));
end $$;

revoke execute on function public.admin_get_run(uuid, uuid) from public, anon, authenticated;
grant execute on function public.admin_get_run(uuid, uuid) to service_role;
