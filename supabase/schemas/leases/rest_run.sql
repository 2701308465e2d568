-- Notes that a process could not go on with an unfinished run, for admins, and lets the run rest for five seconds, after which
-- any process may take it. A run that nobody could go on with p_max_crashes times ends as failed and costs nothing.
create function public.rest_run(p_run_id uuid, p_reason text, p_max_crashes integer default 20) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
begin
  -- Where it ends, that is of an attempt of its own: its readers drop what the one before has told, and are told of the end.
  update public.agent_runs set crashes = crashes + 1, owner = null, lease_until = now() + interval '5 seconds',
      attempt = attempt + case when crashes + 1 < p_max_crashes then 0 else 1 end
    where id = p_run_id and finished_at is null
    returning * into v_run;
  if not found then
    return '{"ended": true}';
  end if;
  perform public.note_failure(p_run_id, jsonb_build_object('reason', p_reason));
  if v_run.crashes < p_max_crashes then
    return '{"ended": false}';
  end if;
  begin
    perform public.finish_run(v_run.id, v_run.attempt, 'failed', '', null, null, 0, null, jsonb_build_object(
      'code', 'crashed_too_often', 'message', 'The run was ended: the server could not go on with it, again and again.'));
  exception when others then
    -- Another transaction holds the user's balance, or a rule of the project refuses: a later try ends it, and other runs are taken.
    raise warning 'run % cannot be ended: %', p_run_id, sqlerrm;
    return '{"ended": false}';
  end;
  return '{"ended": true}';
end $$;

revoke execute on function public.rest_run(uuid, text, integer) from public, anon, authenticated;
grant execute on function public.rest_run(uuid, text, integer) to service_role;
