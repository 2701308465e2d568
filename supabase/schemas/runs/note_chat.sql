-- Keeps which chat a run answers, once.
--   p_chat_id   the page's own name of the chat
--   p_protocol  in which form the page is told the run
create function public.note_chat(p_user_id uuid, p_run_id uuid, p_chat_id text, p_protocol text) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
begin
  -- Who erases the run waits for this row, or has been here before: no text is left behind.
  perform from public.agent_runs where id = p_run_id and user_id = p_user_id and not erased for share;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  insert into public.agent_run_chats (run_id, user_id, chat_id, protocol) values (p_run_id, p_user_id, p_chat_id, p_protocol)
    on conflict (run_id) do nothing;
  return '{"noted": true}';
end $$;

revoke execute on function public.note_chat(uuid, uuid, text, text) from public, anon, authenticated;
grant execute on function public.note_chat(uuid, uuid, text, text) to service_role;
