-- Keeps which chat a run answers, once.
--   p_chat_id   the page's own name of the chat
--   p_protocol  in which form the page is told the run
--   p_page_run  the page's own name of the run, if it has one
--   p_messages  what the page has sent, where it will ask for that again. The messages of a chat come with each of its runs, so they are
--               kept with the latest alone
create function public.note_chat(
  p_user_id uuid,
  p_run_id uuid,
  p_chat_id text,
  p_protocol text,
  p_page_run text default null,
  p_messages jsonb default null
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
begin
  -- Who erases the run waits for this row, or has been here before: no text is left behind.
  perform from public.agent_runs where id = p_run_id and user_id = p_user_id and not erased for share;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  insert into public.agent_run_chats (run_id, user_id, chat_id, protocol, page_run, messages)
    values (p_run_id, p_user_id, p_chat_id, p_protocol, p_page_run, p_messages)
    on conflict (run_id) do nothing;
  if found and p_messages is not null then
    update public.agent_run_chats c set messages = null
      where c.user_id = p_user_id and c.chat_id = p_chat_id and c.run_id <> p_run_id and c.messages is not null
        and exists (select from public.agent_runs earlier, public.agent_runs latest
          where earlier.id = c.run_id and latest.id = p_run_id
            and earlier.api_key_id is not distinct from latest.api_key_id and earlier.visitor is not distinct from latest.visitor);
  end if;
  return '{"noted": true}';
end $$;

revoke execute on function public.note_chat(uuid, uuid, text, text, text, jsonb) from public, anon, authenticated;
grant execute on function public.note_chat(uuid, uuid, text, text, text, jsonb) to service_role;
