-- Registers an API key of a user. Returns it as api_key_json does. Raises `unauthorized` for who is no user, `agent_not_found`
-- for an agent that the user may not run, `too_many_keys` beyond 100 active ones.
--   p_key_hash  the SHA-256 of the key, in hex: the database never sees the key
--   p_limits    {publishable, scopes, agentIds, origins, requestsPerDay, creditsPerDay}, as in the columns
create function public.create_api_key(p_user_id uuid, p_name text, p_key_hash text, p_key_prefix text, p_limits jsonb)
returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_key public.api_keys;
  v_agent_ids uuid[] := array(select id::uuid from jsonb_array_elements_text(p_limits -> 'agentIds') as ids (id));
begin
  -- If two keys of a user are made at once, the second waits here until the first is there to be counted.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('api_keys' || p_user_id, 0));
  if not exists (select from auth.users where id = p_user_id) then
    raise sqlstate 'PT401' using hint = 'unauthorized', message = 'There is no such user any more.';
  end if;
  if (select count(*) from public.api_keys where user_id = p_user_id and is_active) >= 100 then
    raise sqlstate 'PT409' using hint = 'too_many_keys', message = 'You have 100 active keys: revoke one first.';
  end if;
  if exists (
    select from unnest(v_agent_ids) as wanted (id)
      where not exists (select from public.agents a where a.id = wanted.id and (a.is_published or a.user_id = p_user_id)))
  then
    raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
  end if;
  insert into public.api_keys
      (user_id, key_name, key_hash, key_prefix, is_active, is_publishable, scopes, agent_ids, origins, requests_per_day, credits_per_day)
    values (p_user_id, p_name, p_key_hash, p_key_prefix, true, (p_limits ->> 'publishable')::boolean,
      array(select jsonb_array_elements_text(p_limits -> 'scopes')), v_agent_ids,
      array(select jsonb_array_elements_text(p_limits -> 'origins')),
      (p_limits ->> 'requestsPerDay')::integer, (p_limits ->> 'creditsPerDay')::integer)
    returning * into v_key;
  return public.api_key_json(v_key);
end $$;

revoke execute on function public.create_api_key(uuid, text, text, text, jsonb) from public, anon, authenticated;
grant execute on function public.create_api_key(uuid, text, text, text, jsonb) to service_role;
