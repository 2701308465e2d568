-- Makes the balance that users insert themselves what the platform gives at sign-up, whatever they ask for. The condition is
-- the role of the statement: this also runs before an upsert of the service role turns out to be an update, whose values are
-- not to be touched.
create function public.force_first_balance() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  new.credits_remaining := public.first_credits(new.user_id);
  new.credits_used_this_month := 0;
  new.plan_type := 'basic';
  return new;
end $$;

create trigger force_first_balance before insert on public.credit_balances for each row
  when (current_user in ('authenticated', 'anon')) execute function public.force_first_balance();

revoke execute on function public.force_first_balance() from public, anon, authenticated;
grant execute on function public.force_first_balance() to service_role;
