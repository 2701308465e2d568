-- Returns the balance of a user. A user who has none yet is told the one that the first run will give.
create function public.get_credits(p_user_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_credits jsonb;
  v_first integer := 0;
begin
  select jsonb_build_object('creditsRemaining', coalesce(credits_remaining, 0), 'creditsReserved', credits_reserved,
      'creditsUsedThisMonth', coalesce(credits_used_this_month, 0), 'planType', coalesce(plan_type, 'free'))
    into v_credits from public.credit_balances where user_id = p_user_id;
  if found then
    return v_credits;
  end if;
  if exists (select from auth.users where id = p_user_id) then
    v_first := public.first_credits(p_user_id);
  end if;
  return jsonb_build_object('creditsRemaining', v_first, 'creditsReserved', 0, 'creditsUsedThisMonth', 0,
    'planType', case when v_first > 0 then 'basic' else 'free' end);
end $$;

revoke execute on function public.get_credits(uuid) from public, anon, authenticated;
grant execute on function public.get_credits(uuid) to service_role;
