-- Enters what makes each ledger add up to its balance, with the given reason. It is for history: changes that were made before
-- the ledger noted others' changes by itself. Returns {adjusted}: the number of balances.
create function public.adjust_ledger(p_reason text) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_count integer;
begin
  if coalesce(trim(p_reason), '') = '' then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'An adjustment needs a reason.';
  end if;
  -- A change during the comparison would be entered twice.
  lock table public.credit_balances, public.credit_usage, public.credit_changes in share row exclusive mode;
  perform public.enter_change(e.user_id, 'adjustment', coalesce(e.actual, 0) - e.expected, null, null, p_reason)
    from public.expected_balances() e where coalesce(e.actual, 0) <> e.expected;
  get diagnostics v_count = row_count;
  return jsonb_build_object('adjusted', v_count);
end $$;

revoke execute on function public.adjust_ledger(text) from public, anon, authenticated;
grant execute on function public.adjust_ledger(text) to service_role;
