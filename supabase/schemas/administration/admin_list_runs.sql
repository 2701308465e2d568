-- Returns a page of everybody's runs, or of one user's, on behalf of an admin; see page_of_runs.
create function public.admin_list_runs(
  p_admin_id uuid,
  p_limit integer,
  p_user_id uuid default null,
  p_status text default null,
  p_agent_id uuid default null,
  p_after uuid default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  perform public.note_admin_action(p_admin_id, 'runs', p_user_id,
    jsonb_build_object('status', p_status, 'agentId', p_agent_id, 'after', p_after));
  return public.page_of_runs(p_user_id, p_limit, p_status, p_agent_id, p_after);
end $$;

revoke execute on function public.admin_list_runs(uuid, integer, uuid, text, uuid, uuid)
  from public, anon, authenticated;
grant execute on function public.admin_list_runs(uuid, integer, uuid, text, uuid, uuid) to service_role;
