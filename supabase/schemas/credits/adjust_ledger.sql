-- Adds the entries that make each ledger add up to its balance, with the given reason. It is meant for balances that were
-- changed on purpose without an entry. Returns {adjusted}: the number of balances.
create function public.adjust_ledger(p_reason text) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_count integer;
begin
  if coalesce(trim(p_reason), '') = '' then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'An adjustment needs a reason.';
  end if;
  -- A change during the comparison would be entered twice.
  lock table public.credit_balances, public.credit_usage in share row exclusive mode;
  insert into public.credit_openings (user_id, credits)
    select e.user_id, e.actual + (select coalesce(sum(u.credits_used), 0) from public.credit_usage u where u.user_id = e.user_id)
      from public.expected_balances() e where e.expected is null;
  insert into public.credit_usage (user_id, credits_used, operation_type, metadata)
    select e.user_id, e.expected - e.actual, 'adjustment', jsonb_build_object('reason', p_reason)
      from public.expected_balances() e where e.actual <> e.expected;
  get diagnostics v_count = row_count;
  return jsonb_build_object('adjusted', v_count);
end $$;

revoke execute on function public.adjust_ledger(text) from public, anon, authenticated;
grant execute on function public.adjust_ledger(text) to service_role;
