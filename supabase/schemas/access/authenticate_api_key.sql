-- Returns whose an active API key is, and what it may: {userId, apiKeyId, isPublishable, scopes, origins, visitorSecret}, all
-- null if there is no such key, or one from before bound_key with more than its owner may write. The time of use is written once a minute at most.
--   p_key_hash    the SHA-256 of the key, in hex
--   p_api_key_id  instead of the hash, for a visitor's token, which names its key: the caller verifies it by `visitorSecret`
create function public.authenticate_api_key(p_key_hash text, p_api_key_id uuid default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_key public.api_keys;
  v_secret text;
begin
  if p_api_key_id is null then
    select * into v_key from public.api_keys where key_hash = p_key_hash and is_active
      and coalesce(pg_column_size(origins), 0) + coalesce(pg_column_size(agent_ids), 0) <= 32768 limit 1;
  else
    select * into v_key from public.api_keys where id = p_api_key_id and is_publishable and is_active
      and coalesce(pg_column_size(origins), 0) + coalesce(pg_column_size(agent_ids), 0) <= 32768;
  end if;
  -- What is stored in 32 KiB may be a hundred times as much.
  if octet_length(v_key.origins::text) > 65536 then
    v_key := null;
  end if;
  if v_key.last_used_at is null or v_key.last_used_at < now() - interval '1 minute' then
    update public.api_keys set last_used_at = now() where id = v_key.id;
  end if;
  -- The secret is the owner's too: a row of another user with the same id has another one.
  if v_key.is_publishable then
    select encode(sha256(convert_to(secret || v_key.id || v_key.user_id, 'UTF8')), 'hex') into v_secret from public.visitor_secret;
  end if;
  return jsonb_build_object('userId', v_key.user_id, 'apiKeyId', v_key.id, 'isPublishable', v_key.is_publishable,
    'scopes', v_key.scopes[1:1], 'origins', v_key.origins, 'visitorSecret', v_secret);
end $$;

revoke execute on function public.authenticate_api_key(text, uuid) from public, anon, authenticated;
grant execute on function public.authenticate_api_key(text, uuid) to service_role;
