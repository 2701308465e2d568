-- Enters what a new balance comes with, as far as the ledger does not have it: a first one as the kind that the trigger names.
create function public.open_balance() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_is_first boolean := not exists (
    select from public.credit_changes where user_id = new.user_id and kind in ('opening', 'sign_up'));
  v_credits bigint := coalesce(new.credits_remaining, 0)::bigint + new.credits_reserved
    - (select coalesce(sum(credits), 0) from public.credit_changes where user_id = new.user_id)
    + (select coalesce(sum(credits_used), 0) from public.credit_usage where user_id = new.user_id);
begin
  if v_is_first or v_credits <> 0 then
    perform public.enter_change(new.user_id, case when v_is_first then tg_argv[0] else 'change' end, v_credits, null,
      new.credits_remaining);
  end if;
  return null;
end $$;

create trigger open_balance after insert on public.credit_balances for each row
  when (new.user_id is not null and current_user not in ('authenticated', 'anon')) execute function public.open_balance('opening');

-- A user's own insert: see force_first_balance.
create trigger open_own_balance after insert on public.credit_balances for each row
  when (new.user_id is not null and current_user in ('authenticated', 'anon')) execute function public.open_balance('sign_up');

revoke execute on function public.open_balance() from public, anon, authenticated;
grant execute on function public.open_balance() to service_role;
