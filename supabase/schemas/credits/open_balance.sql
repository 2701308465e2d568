-- Notes the opening of a new balance, so that the audit can compare the balance with its ledger.
create function public.open_balance() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.credit_openings (user_id, credits)
    values (new.user_id, coalesce(new.credits_remaining, 0) + new.credits_reserved
      + (select coalesce(sum(credits_used), 0) from public.credit_usage where user_id = new.user_id))
    on conflict do nothing;
  return null;
end $$;

create trigger open_balance after insert on public.credit_balances for each row
  when (new.user_id is not null) execute function public.open_balance();

revoke execute on function public.open_balance() from public, anon, authenticated;
grant execute on function public.open_balance() to service_role;
