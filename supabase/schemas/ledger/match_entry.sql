-- Finds the change that an entry of use stands for, where a caller has taken credits and enters them itself, as the platform's
-- functions do: the entry that deduct_credits has made, or a change of that size which nobody has entered. The entry takes
-- its place, so that the credits count once. Without such a change nothing was taken: the entry counts zero and says in its
-- metadata what is `unpaid`. An entry below zero is no use: it explains a change upwards, and stands with the changes.
create function public.match_entry() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_since timestamptz := now() - interval '1 minute';
  v_metadata jsonb := case when jsonb_typeof(new.metadata) = 'object' then new.metadata else '{}' end;
begin
  if new.credits_used < 0 then
    update public.credit_changes set reason = new.operation_type, metadata = metadata || v_metadata where id = (
      select id from public.credit_changes
        where user_id = new.user_id and kind = 'change' and reason is null and credits = -new.credits_used and created_at > v_since
        order by created_at limit 1 for update skip locked);
    if not found then
      perform public.enter_change(new.user_id, 'change', 0, null, null, new.operation_type,
        v_metadata || jsonb_build_object('unpaid', new.credits_used));
    end if;
    return null;
  end if;

  delete from public.credit_usage where id = (
    select id from public.credit_usage
      where user_id = new.user_id and credits_used = new.credits_used and created_at > v_since
        and metadata ->> 'by' = 'deduct_credits'
      order by created_at limit 1 for update skip locked);
  if found then
    return new;
  end if;
  delete from public.credit_changes where id = (
    select id from public.credit_changes
      where user_id = new.user_id and kind = 'change' and reason is null and credits = -new.credits_used and created_at > v_since
      order by created_at limit 1 for update skip locked);
  if not found then
    new.metadata := v_metadata || jsonb_build_object('unpaid', new.credits_used);
    new.credits_used := 0;
  end if;
  return new;
end $$;

create trigger match_entry before insert on public.credit_usage for each row
  when (new.run_id is null and new.user_id is not null and new.credits_used <> 0
    and new.metadata ->> 'by' is distinct from 'deduct_credits')
  execute function public.match_entry();

revoke execute on function public.match_entry() from public, anon, authenticated;
grant execute on function public.match_entry() to service_role;
