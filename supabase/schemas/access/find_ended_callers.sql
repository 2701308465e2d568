-- Which of these callers may no longer be served, as their positions in the array from 0 on. A caller is {userId} with the
-- apiKeyId of an API key or the sessionId of an access token, if they came with one. A caller has ended if the user is gone,
-- the key is off, or the session is. Sessions are only looked at where there is a table of them that this role may read.
create function public.find_ended_callers(p_callers jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_open uuid[];
  v_sees_sessions boolean := to_regclass('auth.sessions') is not null;
begin
  if v_sees_sessions then
    begin
      execute $q$
        select array_agg(s.id) from auth.sessions s
        where s.id in (select (c ->> 'sessionId')::uuid from jsonb_array_elements($1) c)
          and coalesce((to_jsonb(s) ->> 'not_after')::timestamptz > now(), true)
      $q$ into v_open using p_callers;
    exception when insufficient_privilege then
      v_sees_sessions := false;
    end;
  end if;
  return coalesce((
    select jsonb_agg(position - 1 order by position)
    from jsonb_array_elements(p_callers) with ordinality as callers (caller, position)
    where not exists (select from auth.users where id = (caller ->> 'userId')::uuid)
      or (caller ? 'apiKeyId' and not exists (select from public.api_keys
        where id = (caller ->> 'apiKeyId')::uuid and user_id = (caller ->> 'userId')::uuid and is_active))
      or (caller ? 'sessionId' and v_sees_sessions and not (caller ->> 'sessionId')::uuid = any (coalesce(v_open, '{}')))
  ), '[]');
end $$;

revoke execute on function public.find_ended_callers(jsonb) from public, anon, authenticated;
grant execute on function public.find_ended_callers(jsonb) to service_role;
