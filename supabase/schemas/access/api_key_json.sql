-- Returns an API key as its owner sees it. Pages may have given it a name of any length, and lists of any, of which the beginning is told.
create function public.api_key_json(k public.api_keys) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return jsonb_build_object(
    'id', k.id,
    'name', left(k.key_name, 200),
    'prefix', left(k.key_prefix, 20),
    'publishable', k.is_publishable,
    'scopes', k.scopes[1:1],
    'agentIds', coalesce(k.agent_ids[1:100], '{}'),
    'origins', array(select left(origin, 300) from unnest(k.origins[1:100]) as origins (origin)),
    'requestsPerDay', k.requests_per_day,
    'creditsPerDay', k.credits_per_day,
    'isActive', coalesce(k.is_active, false),
    'lastUsedAt', public.iso_time(k.last_used_at),
    'createdAt', public.iso_time(k.created_at));
end $$;

revoke execute on function public.api_key_json(public.api_keys) from public, anon, authenticated;
grant execute on function public.api_key_json(public.api_keys) to service_role;
