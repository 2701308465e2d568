-- Enters what a deleted balance had. Runs under way hold nothing of it any more; they take what they cost from the balance
-- that there is when they end. The ledger of a deleted user goes with the balance.
create function public.close_balance() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if exists (select from auth.users where id = old.user_id) then
    perform public.enter_change(old.user_id, 'change', -(coalesce(old.credits_remaining, 0)::bigint + old.credits_reserved),
      old.credits_remaining, null);
  else
    delete from public.credit_usage where user_id = old.user_id;
    delete from public.credit_changes where user_id = old.user_id;
  end if;
  update public.agent_runs set credits_reserved = 0
    where user_id = old.user_id and finished_at is null and credits_reserved > 0;
  return null;
end $$;

create trigger close_balance after delete on public.credit_balances for each row
  when (old.user_id is not null) execute function public.close_balance();

revoke execute on function public.close_balance() from public, anon, authenticated;
grant execute on function public.close_balance() to service_role;
