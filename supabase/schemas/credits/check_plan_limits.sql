-- Raises `plan_limit_reached` if the user's plan allows no further charged run for now; the detail says after how many
-- seconds one is. What counts is what the user's ledger has of the last minute and hour, and the runs begun in them that
-- are not settled yet. A plan without a row in plan_limits is `free`, and so is a user without a balance.
--   p_idempotency_key  the firing of a schedule is never refused, though it counts: there is nobody who could try again
create function public.check_plan_limits(p_user_id uuid, p_idempotency_key text default null) returns void
language plpgsql security definer set search_path = '' as $$
declare
  v_plan text := coalesce((select plan_type::text from public.credit_balances where user_id = p_user_id), 'free');
  v_a_minute integer;
  v_an_hour integer;
  v_in_minute bigint;
  v_in_hour bigint;
begin
  select runs_per_minute, runs_per_hour into v_a_minute, v_an_hour from public.plan_limits
    where plan_type in (v_plan, 'free') order by plan_type = v_plan desc limit 1;
  if v_a_minute is null and v_an_hour is null then
    return;
  end if;
  if p_idempotency_key ~ '^schedule:' and exists (select from public.scheduled_runs r
      where 'schedule:' || r.id = p_idempotency_key and r.run_id is null and r.request ->> 'userId' = p_user_id::text) then
    return;
  end if;
  -- If two runs of a user begin at once, the second waits here until the first is there to be counted. It is the lock that the
  -- reservation takes: with another one beside it, two transactions that begin and end runs of a user could deadlock.
  perform from public.credit_balances where user_id = p_user_id for no key update;
  select count(*) filter (where begun.at > now() - interval '1 minute'), count(*) into v_in_minute, v_in_hour
    from (
      select created_at as at from public.credit_usage where user_id = p_user_id and created_at > now() - interval '1 hour'
      union all
      select created_at from public.agent_runs
        where user_id = p_user_id and created_at > now() - interval '1 hour' and finished_at is null and is_charged
    ) begun;
  if v_in_hour >= v_an_hour then
    raise sqlstate 'PT429' using hint = 'plan_limit_reached',
      message = format('Your plan allows %s runs an hour: try again later.', v_an_hour), detail = '3600';
  end if;
  if v_in_minute >= v_a_minute then
    raise sqlstate 'PT429' using hint = 'plan_limit_reached',
      message = format('Your plan allows %s runs a minute: try again in a minute.', v_a_minute), detail = '60';
  end if;
end $$;

revoke execute on function public.check_plan_limits(uuid, text) from public, anon, authenticated;
grant execute on function public.check_plan_limits(uuid, text) to service_role;
