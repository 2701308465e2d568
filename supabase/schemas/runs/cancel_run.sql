-- Cancels a run. The process that owns it learns of this by its next heartbeat. If no living process owns the run, it ends
-- here and costs nothing. For an API key, or a visitor of it, there are only the runs that it has begun.
create function public.cancel_run(p_user_id uuid, p_run_id uuid, p_api_key_id uuid default null, p_visitor text default null) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
begin
  select * into v_run from public.agent_runs where id = p_run_id and user_id = p_user_id
    and (p_api_key_id is null or (api_key_id = p_api_key_id and visitor is not distinct from p_visitor)) for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  if public.is_abandoned(v_run) then
    -- The cancellation is a new attempt, so that readers drop the text of the attempt before.
    update public.agent_runs set attempt = attempt + 1 where id = p_run_id returning * into v_run;
    return public.finish_run(v_run.id, v_run.attempt, 'cancelled', '', null, null, 0, null, null) - 'userWaits';
  end if;
  update public.agent_runs set cancel_requested = true where id = p_run_id and finished_at is null;
  return public.run_json(v_run);
end $$;

revoke execute on function public.cancel_run(uuid, uuid, uuid, text) from public, anon, authenticated;
grant execute on function public.cancel_run(uuid, uuid, uuid, text) to service_role;
