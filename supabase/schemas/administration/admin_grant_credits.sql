-- Gives credits to a user on behalf of an admin, or takes some. A repeated call with the same idempotency key changes nothing
-- again and returns what the first call did.
create function public.admin_grant_credits(
  p_admin_id uuid, p_user_id uuid, p_credits integer, p_reason text, p_idempotency_key text default null
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_details jsonb := jsonb_build_object('credits', p_credits, 'reason', p_reason);
  v_before public.admin_actions;
  v_credits jsonb;
begin
  perform public.require_admin(p_admin_id);
  if p_idempotency_key is not null then
    -- If two requests with the same key arrive at once, the second waits here until the first has ended.
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('grant' || p_admin_id || p_idempotency_key, 0));
    select * into v_before from public.admin_actions where admin_id = p_admin_id and idempotency_key = p_idempotency_key;
    if found then
      if v_before.user_id is distinct from p_user_id or v_before.details <> v_details then
        raise sqlstate 'PT422' using hint = 'idempotency_key_reused',
          message = 'This Idempotency-Key was used before with another request.';
      end if;
      return v_before.result;
    end if;
  end if;
  v_credits := public.grant_credits(p_user_id, p_credits, p_reason, p_admin_id);
  insert into public.admin_actions (admin_id, action, user_id, details, idempotency_key, result)
    values (p_admin_id, 'grant', p_user_id, v_details, p_idempotency_key, v_credits);
  return v_credits;
end $$;

revoke execute on function public.admin_grant_credits(uuid, uuid, integer, text, text)
  from public, anon, authenticated;
grant execute on function public.admin_grant_credits(uuid, uuid, integer, text, text) to service_role;
