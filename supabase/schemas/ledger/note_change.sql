-- Enters every change of a balance that its writer has not entered: that of a payment's webhook, of a renewal, of SQL by hand.
-- The statement of a writer who has says so in credits_entered. Statements that only move credits between remaining and
-- reserved do not come here.
create function public.note_change() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_before bigint := coalesce(old.credits_remaining, 0)::bigint + old.credits_reserved;
  v_after bigint := coalesce(new.credits_remaining, 0)::bigint + new.credits_reserved;
  v_entered bigint := new.credits_entered;
begin
  new.credits_entered := 0;
  if new.user_id is distinct from old.user_id then
    -- The balance was given to another user.
    perform public.enter_change(old.user_id, 'change', -v_before, old.credits_remaining, null) where old.user_id is not null;
    perform public.enter_change(new.user_id, 'change', v_after - v_entered, null, new.credits_remaining) where new.user_id is not null;
  elsif v_after - v_before <> v_entered and new.user_id is not null then
    perform public.enter_change(new.user_id, 'change', v_after - v_before - v_entered, old.credits_remaining, new.credits_remaining);
  end if;
  return new;
end $$;

create trigger note_change before update on public.credit_balances for each row
  when (new.credits_entered <> 0 or old.user_id is distinct from new.user_id
    or coalesce(old.credits_remaining, 0)::bigint + old.credits_reserved
      <> coalesce(new.credits_remaining, 0)::bigint + new.credits_reserved)
  execute function public.note_change();

revoke execute on function public.note_change() from public, anon, authenticated;
grant execute on function public.note_change() to service_role;
