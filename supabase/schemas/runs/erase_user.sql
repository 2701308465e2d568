-- Erases what a deleted user asked and was answered, and the ledger, from all tables, whatever foreign keys a project has. The
-- runs themselves stay, without texts. A run under way ends here: its process is refused whatever it still writes.
-- lock_user has locked what finish_run would wait for.
create function public.erase_user() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_ids uuid[];
begin
  -- Runs before firings and balances, as in finish_run.
  update public.agent_runs
    set status = case when finished_at is null then 'cancelled' else status end,
        attempt = case when finished_at is null then attempt + 1 else attempt end,
        finished_at = coalesce(finished_at, clock_timestamp()), owner = null, lease_until = null, credits_reserved = 0,
        response = '', error = null, idempotency_key = null, request_hash = '', erased = true
    where user_id = old.id;
  select array_agg(id) into v_ids from public.agent_runs where user_id = old.id;
  perform public.erase_texts(v_ids);
  delete from public.scheduled_runs
    where run_id = any (v_ids) or user_id = old.id or request ->> 'userId' = old.id::text
      or schedule_id in (select id from public.agent_schedules where user_id = old.id);
  delete from public.agent_schedules where user_id = old.id;
  delete from public.schedule_refusals where user_id = old.id;
  delete from public.access_tickets where user_id = old.id;
  delete from public.credit_balances where user_id = old.id;
  delete from public.credit_usage where user_id = old.id;
  delete from public.credit_changes where user_id = old.id;
  return null;
end $$;

revoke execute on function public.erase_user() from public, anon, authenticated;
grant execute on function public.erase_user() to service_role;

do $$
begin
  create or replace trigger erase_user after delete on auth.users for each row execute function public.erase_user();
exception when insufficient_privilege then
  raise notice 'This role may not create triggers on auth.users: delete what users leave with erase_user by another role';
end $$;
