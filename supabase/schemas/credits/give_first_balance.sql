-- Makes the first balance of a user whom no page has made one, as the platform gives it at sign-up.
create function public.give_first_balance(p_user_id uuid, p_reason text default null) returns void
language plpgsql security definer set search_path = '' as $$
begin
  if exists (select from public.credit_balances where user_id = p_user_id)
    or not exists (select from auth.users where id = p_user_id)
  then
    return;
  end if;
  insert into public.credit_balances (user_id, credits_remaining, plan_type)
    values (p_user_id, public.first_credits(p_user_id), 'basic')
    on conflict (user_id) do nothing;
  if found then
    update public.credit_changes set kind = 'sign_up', reason = p_reason where user_id = p_user_id and kind = 'opening';
  end if;
end $$;

revoke execute on function public.give_first_balance(uuid, text) from public, anon, authenticated;
grant execute on function public.give_first_balance(uuid, text) to service_role;
