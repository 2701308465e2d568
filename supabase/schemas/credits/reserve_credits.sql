-- Moves credits of a user from remaining to reserved. Returns false if there are too few.
create function public.reserve_credits(p_user_id uuid, p_credits integer) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  for v_try in 1 .. 3 loop
    update public.credit_balances
      set credits_remaining = credits_remaining - p_credits, credits_reserved = credits_reserved + p_credits
      where user_id = p_user_id and credits_remaining >= p_credits;
    if found then
      return true;
    end if;
    -- Before a user is refused, a new one gets the first balance, unless another call has just made it.
    if v_try = 1 then
      perform public.give_first_balance(p_user_id);
    -- Then the runs that no process will continue return their reservations.
    elsif v_try = 2 and not public.end_forsaken_runs(p_user_id) then
      return false;
    end if;
  end loop;
  return false;
end $$;

revoke execute on function public.reserve_credits(uuid, integer) from public, anon, authenticated;
grant execute on function public.reserve_credits(uuid, integer) to service_role;
