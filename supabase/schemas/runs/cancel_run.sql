-- Cancels a run. The process that owns it learns of this by its next heartbeat. If no living process owns the run, it ends
-- here and costs nothing.
create function public.cancel_run(p_user_id uuid, p_run_id uuid) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
begin
  select * into v_run from public.agent_runs where id = p_run_id and user_id = p_user_id for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  if public.is_abandoned(v_run) then
    -- The cancellation is a new attempt, so that readers drop the text of the attempt before.
    update public.agent_runs set attempt = attempt + 1 where id = p_run_id returning * into v_run;
    return public.finish_run(v_run.id, v_run.attempt, 'cancelled', '', null, null, 0, null, null);
  end if;
  update public.agent_runs set cancel_requested = true where id = p_run_id and finished_at is null;
  return public.run_json(v_run);
end $$;

revoke execute on function public.cancel_run(uuid, uuid) from public, anon, authenticated;
grant execute on function public.cancel_run(uuid, uuid) to service_role;
