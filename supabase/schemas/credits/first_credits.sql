-- Enters the credits that a user gets at sign-up in the ledger, and returns them. Whoever has had a balance before gets none.
create function public.first_credits(p_user_id uuid, p_reason text default null) returns integer
language plpgsql security definer set search_path = '' as $$
declare
  v_credits integer := coalesce((select sign_up_credits from public.credit_settings), 5);
begin
  if p_user_id is null or exists (select from public.credit_changes where user_id = p_user_id) then
    return 0;
  end if;
  insert into public.credit_changes (user_id, kind, credits, credits_before, credits_after, reason, db_role, jwt_role)
    values (p_user_id, 'sign_up', v_credits, null, v_credits, p_reason,
      coalesce(nullif(current_setting('role', true), 'none'), session_user), auth.role())
    on conflict do nothing;
  return case when found then v_credits else 0 end;
end $$;

revoke execute on function public.first_credits(uuid, text) from public, anon, authenticated;
grant execute on function public.first_credits(uuid, text) to service_role;
