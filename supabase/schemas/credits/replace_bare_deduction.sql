-- Removes the ledger entry that deduct_credits has just made when its caller adds an entry of its own for the same
-- credits, as the platform's functions do. Otherwise the ledger would count them twice.
create function public.replace_bare_deduction() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  delete from public.credit_usage where id = (
    select id from public.credit_usage
      where user_id = new.user_id and operation_type = 'deduction' and credits_used = new.credits_used
        and created_at > now() - interval '1 minute'
      order by created_at limit 1 for update skip locked);
  return new;
end $$;

create trigger replace_bare_deduction before insert on public.credit_usage for each row
  when (new.run_id is null and new.operation_type not in ('deduction', 'grant', 'adjustment'))
  execute function public.replace_bare_deduction();

revoke execute on function public.replace_bare_deduction() from public, anon, authenticated;
