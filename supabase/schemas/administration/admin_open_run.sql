-- Says on behalf of an admin whose a run is: {userId}. As that user's the run can be followed or cancelled.
--   p_action  what the admin is about to do, which is recorded
create function public.admin_open_run(p_admin_id uuid, p_run_id uuid, p_action text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_user_id uuid := (select user_id from public.agent_runs where id = p_run_id);
begin
  perform public.note_admin_action(p_admin_id, p_action, v_user_id, jsonb_build_object('runId', p_run_id));
  if v_user_id is null then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  return jsonb_build_object('userId', v_user_id);
end $$;

revoke execute on function public.admin_open_run(uuid, uuid, text) from public, anon, authenticated;
grant execute on function public.admin_open_run(uuid, uuid, text) to service_role;
