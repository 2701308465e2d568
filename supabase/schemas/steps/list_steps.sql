-- Returns the finished steps of a user's run: {steps}; for an API key, or a visitor of it, only of a run that this key, or visitor, has
-- begun. Raises `run_not_found`.
create function public.list_steps(p_user_id uuid, p_run_id uuid, p_api_key_id uuid default null, p_visitor text default null) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  perform public.get_run(p_user_id, p_run_id, p_api_key_id, p_visitor);
  return jsonb_build_object('steps', public.steps_json(p_run_id));
end $$;

revoke execute on function public.list_steps(uuid, uuid, uuid, text) from public, anon, authenticated;
grant execute on function public.list_steps(uuid, uuid, uuid, text) to service_role;
