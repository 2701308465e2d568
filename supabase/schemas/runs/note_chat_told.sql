-- A page was told the end of a run that answers a chat.
create function public.note_chat_told(p_run_id uuid) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
begin
  update public.agent_run_chats set told = true where run_id = p_run_id and not told;
  return '{"noted": true}';
end $$;

revoke execute on function public.note_chat_told(uuid) from public, anon, authenticated;
grant execute on function public.note_chat_told(uuid) to service_role;
