-- Approves or refuses, on behalf of an admin, the railway_url that an agent's owner asks for. Repeated, it changes nothing.
--   p_url  what the admin has looked at; if the owner asks for something else by now, nothing is approved
create function public.admin_settle_railway_url(p_admin_id uuid, p_agent_id uuid, p_url text, p_approve boolean)
returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_user_id uuid;
  v_url text;
  v_requested text;
begin
  perform public.require_admin(p_admin_id);
  select user_id, railway_url, railway_url_requested into v_user_id, v_url, v_requested
    from public.agents where id = p_agent_id for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
  end if;
  if v_requested is null and p_approve = (v_url is not distinct from p_url) then
    return jsonb_build_object('agentId', p_agent_id, 'railwayUrl', v_url);
  end if;
  if v_requested is distinct from p_url then
    raise sqlstate 'PT409' using hint = 'railway_url_changed',
      message = 'The owner of this agent does not ask for that address, or no longer: look again.';
  end if;
  perform public.note_admin_action(p_admin_id, 'railway_url', v_user_id,
    jsonb_build_object('agentId', p_agent_id, 'url', p_url, 'approved', p_approve));
  update public.agents
    set railway_url = case when p_approve then p_url else railway_url end, railway_url_requested = null
    where id = p_agent_id
    returning railway_url into v_url;
  return jsonb_build_object('agentId', p_agent_id, 'railwayUrl', v_url);
end $$;

revoke execute on function public.admin_settle_railway_url(uuid, uuid, text, boolean) from public, anon, authenticated;
grant execute on function public.admin_settle_railway_url(uuid, uuid, text, boolean) to service_role;
