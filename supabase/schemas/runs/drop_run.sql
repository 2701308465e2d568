-- Ends a run that no process could be found for; it costs nothing. A run that has an owner or has ended stays as it is.
create function public.drop_run(p_user_id uuid, p_run_id uuid, p_error jsonb) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
begin
  select * into v_run from public.agent_runs where id = p_run_id and user_id = p_user_id for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  if v_run.owner is not null or v_run.finished_at is not null then
    return public.run_json(v_run);
  end if;
  return public.finish_run(p_run_id, v_run.attempt, 'failed', '', null, null, 0, null, p_error) - 'userWaits';
end $$;

revoke execute on function public.drop_run(uuid, uuid, jsonb) from public, anon, authenticated;
grant execute on function public.drop_run(uuid, uuid, jsonb) to service_role;
