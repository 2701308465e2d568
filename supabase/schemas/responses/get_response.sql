-- Returns what is kept of a response beside its run, {previousId, details, input}, where the caller may read the run as in get_run.
-- `input` is null unless it is asked for.
create function public.get_response(
  p_user_id uuid,
  p_run_id uuid,
  p_api_key_id uuid default null,
  p_visitor text default null,
  p_with_input boolean default false
) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_found jsonb;
begin
  select jsonb_build_object('previousId', s.previous_id, 'details', s.details, 'input', case when p_with_input then s.input end) into v_found
    from public.agent_responses s join public.agent_runs r on r.id = s.run_id
    where r.id = p_run_id and r.user_id = p_user_id
      and (p_api_key_id is null or (r.api_key_id = p_api_key_id and r.visitor is not distinct from p_visitor));
  if not found then
    raise sqlstate 'PT404' using hint = 'response_not_found', message = 'There is no such response.';
  end if;
  return v_found;
end $$;

revoke execute on function public.get_response(uuid, uuid, uuid, text, boolean) from public, anon, authenticated;
grant execute on function public.get_response(uuid, uuid, uuid, text, boolean) to service_role;
