-- Revokes an API key of a user, and returns it. The row stays, so that nobody registers its hash. Repeated, it changes nothing.
create function public.revoke_api_key(p_user_id uuid, p_api_key_id uuid) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_key public.api_keys;
begin
  update public.api_keys set is_active = false where id = p_api_key_id and user_id = p_user_id returning * into v_key;
  if not found then
    raise sqlstate 'PT404' using hint = 'key_not_found', message = 'There is no such key.';
  end if;
  return public.api_key_json(v_key);
end $$;

revoke execute on function public.revoke_api_key(uuid, uuid) from public, anon, authenticated;
grant execute on function public.revoke_api_key(uuid, uuid) to service_role;
