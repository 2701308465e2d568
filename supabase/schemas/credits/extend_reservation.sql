-- Extends the reservation of a run to p_credits, or as far as the balance allows, and the API key that began the
-- run. Returns the reservation.
create function public.extend_reservation(p_run_id uuid, p_credits integer) returns integer
language plpgsql security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
  v_more integer;
begin
  select * into v_run from public.agent_runs where id = p_run_id for update;
  if not v_run.is_charged or coalesce(p_credits, 0) <= v_run.credits_reserved then
    return v_run.credits_reserved;
  end if;
  select least(p_credits - v_run.credits_reserved, credits_remaining) into v_more
    from public.credit_balances where user_id = v_run.user_id for update;
  -- The balance is locked before the key, as in begin_run.
  if v_run.api_key_id is not null then
    perform from public.api_keys where id = v_run.api_key_id for no key update;
    v_more := least(v_more, public.credits_left_of_key(v_run.api_key_id));
  end if;
  if coalesce(v_more, 0) <= 0 then
    return v_run.credits_reserved;
  end if;
  update public.credit_balances
    set credits_remaining = credits_remaining - v_more, credits_reserved = credits_reserved + v_more
    where user_id = v_run.user_id;
  update public.agent_runs set credits_reserved = credits_reserved + v_more where id = p_run_id;
  return v_run.credits_reserved + v_more;
end $$;

revoke execute on function public.extend_reservation(uuid, integer) from public, anon, authenticated;
grant execute on function public.extend_reservation(uuid, integer) to service_role;
