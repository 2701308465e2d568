-- Erases the texts of runs that have ended: what their rows have, and what erase_texts finds in other tables. The runs themselves
-- and the ledger stay.
create function public.erase_runs(p_run_ids uuid[]) returns void
language plpgsql security definer set search_path = '' as $$
begin
  -- A caller's key may be a text too. The code of an error stays, and its sentence, which a program may have worded, goes.
  update public.agent_runs
    set response = '', idempotency_key = null, request_hash = '', erased = true,
        error = case when error is not null then jsonb_build_object('code', error ->> 'code', 'message', 'The run failed.') end
    where id = any (p_run_ids);
  perform public.erase_texts(p_run_ids);
end $$;

revoke execute on function public.erase_runs(uuid[]) from public, anon, authenticated;
grant execute on function public.erase_runs(uuid[]) to service_role;
