-- Returns what a page has sent with a run of a chat, {bytes, messages}, where it is kept and the caller may read the run as in get_run;
-- otherwise null. `messages` is null if it has more than `p_max_bytes` bytes as JSON.
create function public.get_chat_messages(
  p_user_id uuid,
  p_run_id uuid,
  p_max_bytes integer,
  p_api_key_id uuid default null,
  p_visitor text default null
) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_messages jsonb;
  v_bytes integer;
begin
  select c.messages, octet_length(c.messages::text) into v_messages, v_bytes
    from public.agent_run_chats c join public.agent_runs r on r.id = c.run_id
    where r.id = p_run_id and r.user_id = p_user_id and c.messages is not null
      and (p_api_key_id is null or (r.api_key_id = p_api_key_id and r.visitor is not distinct from p_visitor));
  if not found then
    return null;
  end if;
  return jsonb_build_object('bytes', v_bytes, 'messages', case when v_bytes <= p_max_bytes then v_messages end);
end $$;

revoke execute on function public.get_chat_messages(uuid, uuid, integer, uuid, text) from public, anon, authenticated;
grant execute on function public.get_chat_messages(uuid, uuid, integer, uuid, text) to service_role;
