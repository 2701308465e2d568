-- Returns a user's API keys, revoked ones too, newest first, `p_limit` at most: {keys}.
create function public.list_api_keys(p_user_id uuid, p_limit integer) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  return jsonb_build_object('keys', (
    select coalesce(jsonb_agg(public.api_key_json(k) order by k.created_at desc nulls last, k.id), '[]')
      from (select * from public.api_keys where user_id = p_user_id order by created_at desc nulls last, id limit p_limit) k));
end $$;

revoke execute on function public.list_api_keys(uuid, integer) from public, anon, authenticated;
grant execute on function public.list_api_keys(uuid, integer) to service_role;
