-- Returns the latest run that answers a chat, {run, protocol, told, pageRun}, or, if no chat has this name, the run of this id, of
-- which all but the run may be null; null if there is none that the caller may read, as in get_run.
--   p_unfinished  only a run that has not ended
create function public.find_chat_run(
  p_user_id uuid,
  p_chat_id text,
  p_api_key_id uuid default null,
  p_visitor text default null,
  p_unfinished boolean default false
) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_found jsonb;
begin
  select jsonb_build_object('run', public.run_json(r), 'protocol', c.protocol, 'told', c.told, 'pageRun', c.page_run) into v_found
    from public.agent_run_chats c join public.agent_runs r on r.id = c.run_id
    where c.user_id = p_user_id and c.chat_id = p_chat_id
      and (p_api_key_id is null or (r.api_key_id = p_api_key_id and r.visitor is not distinct from p_visitor))
      and not (p_unfinished and r.finished_at is not null)
    order by c.created_at desc, c.run_id desc limit 1;
  if not found and p_chat_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
    select jsonb_build_object('run', public.run_json(r), 'protocol', c.protocol, 'told', c.told, 'pageRun', c.page_run) into v_found
      from public.agent_runs r left join public.agent_run_chats c on c.run_id = r.id
      where r.id = p_chat_id::uuid and r.user_id = p_user_id
        and (p_api_key_id is null or (r.api_key_id = p_api_key_id and r.visitor is not distinct from p_visitor))
        and not (p_unfinished and r.finished_at is not null);
  end if;
  return v_found;
end $$;

revoke execute on function public.find_chat_run(uuid, text, uuid, text, boolean) from public, anon, authenticated;
grant execute on function public.find_chat_run(uuid, text, uuid, text, boolean) to service_role;
