-- Sets on behalf of an admin for how many days the texts of a user's runs are kept after their end, or those of an agent's; null: as long
-- as those of all. Returns {userId, agentId, days}. Raises `bad_request`, `user_not_found`, `agent_not_found`.
create function public.admin_set_retention(p_admin_id uuid, p_user_id uuid, p_agent_id uuid, p_days numeric) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  -- Each is looked at every hour.
  v_max constant integer := 1000;
begin
  perform public.note_admin_action(p_admin_id, 'set_retention', p_user_id, jsonb_build_object('agentId', p_agent_id, 'days', coalesce(to_jsonb(p_days), to_jsonb('default'::text))));
  perform public.check_subject(p_user_id, p_agent_id);
  if p_days is null then
    delete from public.retention_periods where user_id = p_user_id or agent_id = p_agent_id;
    return jsonb_build_object('userId', p_user_id, 'agentId', p_agent_id, 'days', null);
  end if;
  if p_days not between 0 and 36500 then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'A period has from 0 to 36500 days.';
  end if;
  lock table public.retention_periods in share row exclusive mode;
  update public.retention_periods set days = p_days, updated_at = now() where user_id = p_user_id or agent_id = p_agent_id;
  if not found then
    if (select count(*) from public.retention_periods) >= v_max then
      raise sqlstate 'PT400' using hint = 'bad_request', message = 'There are as many periods as there may be: 1000.';
    end if;
    insert into public.retention_periods (user_id, agent_id, days) values (p_user_id, p_agent_id, p_days);
  end if;
  return jsonb_build_object('userId', p_user_id, 'agentId', p_agent_id, 'days', p_days);
end $$;

revoke execute on function public.admin_set_retention(uuid, uuid, uuid, numeric) from public, anon, authenticated;
grant execute on function public.admin_set_retention(uuid, uuid, uuid, numeric) to service_role;
