-- Returns {userId}: the user whose active API key has this hash, or null if there is none. The time of use is written
-- once a minute at most.
create function public.authenticate_api_key(p_key_hash text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_key public.api_keys;
begin
  select * into v_key from public.api_keys where key_hash = p_key_hash and is_active limit 1;
  if v_key.last_used_at is null or v_key.last_used_at < now() - interval '1 minute' then
    update public.api_keys set last_used_at = now() where id = v_key.id;
  end if;
  return jsonb_build_object('userId', v_key.user_id);
end $$;

revoke execute on function public.authenticate_api_key(text) from public, anon, authenticated;
grant execute on function public.authenticate_api_key(text) to service_role;
