-- Returns a page of everybody's runs, or of one user's, on behalf of an admin: see page_of_runs. A run has the `reason` for
-- which it failed, which its user does not read.
create function public.admin_list_runs(
  p_admin_id uuid,
  p_limit integer,
  p_user_id uuid default null,
  p_status text default null,
  p_agent_id uuid default null,
  p_after uuid default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_page jsonb;
begin
  perform public.note_admin_action(p_admin_id, 'runs', p_user_id,
    jsonb_build_object('status', p_status, 'agentId', p_agent_id, 'after', p_after));
  v_page := public.page_of_runs(p_user_id, p_limit, p_status, p_agent_id, p_after);
  return v_page || jsonb_build_object('runs', (
    select coalesce(jsonb_agg(r || jsonb_build_object('reason', f.reason) order by n), '[]')
      from jsonb_array_elements(v_page -> 'runs') with ordinality as page (r, n)
        left join public.agent_run_failures f on f.run_id = (r ->> 'runId')::uuid));
end $$;

revoke execute on function public.admin_list_runs(uuid, integer, uuid, text, uuid, uuid)
  from public, anon, authenticated;
grant execute on function public.admin_list_runs(uuid, integer, uuid, text, uuid, uuid) to service_role;
