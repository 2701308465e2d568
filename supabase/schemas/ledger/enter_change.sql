-- Enters a change of a balance in the ledger, with the roles of whoever makes it.
create function public.enter_change(
  p_user_id uuid, p_kind text, p_credits bigint, p_before bigint, p_after bigint, p_reason text default null,
  p_metadata jsonb default '{}'
) returns void
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.credit_changes (user_id, kind, credits, credits_before, credits_after, reason, metadata, db_role, jwt_role)
    values (p_user_id, p_kind, p_credits, p_before, p_after, p_reason, p_metadata,
      -- Within a definer function current_user is its owner; the setting `role` still names the role of the request.
      coalesce(nullif(current_setting('role', true), 'none'), session_user), auth.role())
    -- Only a first balance conflicts, with another that was made at the same time.
    on conflict do nothing;
end $$;

revoke execute on function public.enter_change(uuid, text, bigint, bigint, bigint, text, jsonb) from public, anon, authenticated;
grant execute on function public.enter_change(uuid, text, bigint, bigint, bigint, text, jsonb) to service_role;
