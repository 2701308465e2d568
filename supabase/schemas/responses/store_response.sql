-- Keeps what belongs to a response beside its run, once: what is there stays, since a repeated request means the same response.
-- Returns {previousId, details} as they are kept.
create function public.store_response(p_user_id uuid, p_run_id uuid, p_previous_id uuid, p_input jsonb, p_details jsonb) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
begin
  -- Who erases the run waits for this row, or has been here before: no text is left behind.
  perform from public.agent_runs where id = p_run_id and user_id = p_user_id and not erased for share;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  insert into public.agent_responses (run_id, previous_id, input, details) values (p_run_id, p_previous_id, p_input, p_details)
    on conflict (run_id) do nothing;
  return (select jsonb_build_object('previousId', previous_id, 'details', details) from public.agent_responses where run_id = p_run_id);
end $$;

revoke execute on function public.store_response(uuid, uuid, uuid, jsonb, jsonb) from public, anon, authenticated;
grant execute on function public.store_response(uuid, uuid, uuid, jsonb, jsonb) to service_role;
