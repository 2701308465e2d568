-- Erases what runs that have ended left in tables of their own: inputs, traces, reasons of failures, checkpoints, what clients
-- have kept with a response, names of chats and, as a model wrote them, of tools, and their responses in the cache.
-- docs/reference/texts.md lists every place.
create function public.erase_texts(p_run_ids uuid[]) returns void
language plpgsql security definer set search_path = '' as $$
begin
  delete from public.agent_run_inputs where run_id = any (p_run_ids);
  delete from public.agent_run_traces where run_id = any (p_run_ids);
  delete from public.agent_run_failures where run_id = any (p_run_ids);
  delete from public.agent_responses where run_id = any (p_run_ids);
  delete from public.agent_run_chats where run_id = any (p_run_ids);
  delete from public.agent_run_checkpoints where run_id = any (p_run_ids);
  update public.agent_run_steps set name = null where run_id = any (p_run_ids) and kind = 'tool';
  delete from public.response_cache
    where key in (select cache_key from public.agent_runs where id = any (p_run_ids) and cache_key is not null);
end $$;

revoke execute on function public.erase_texts(uuid[]) from public, anon, authenticated;
grant execute on function public.erase_texts(uuid[]) to service_role;
