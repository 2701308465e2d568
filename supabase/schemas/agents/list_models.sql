-- Returns the agents that a caller may choose from, as models of OpenAI's API or tools of MCP: {models: [{id, name,
-- description, createdAt}]}, newest first, at most p_limit; name and description are cut. A user has their own agents; a key those that it is for, or the published ones of its owner.
--   p_agent_id  returns this one alone, whosever it is, if the caller may run it; otherwise none
create function public.list_models(p_user_id uuid, p_api_key_id uuid, p_limit integer, p_agent_id uuid default null) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_agent_ids uuid[];
begin
  if p_api_key_id is not null then
    select agent_ids into v_agent_ids from public.api_keys where id = p_api_key_id and user_id = p_user_id and is_active;
    if not found then
      raise sqlstate 'PT401' using hint = 'unauthorized', message = 'The API key is unknown or no longer active.';
    end if;
  end if;
  return jsonb_build_object('models', coalesce((
    select jsonb_agg(jsonb_build_object('id', id, 'name', left(name, 200), 'description', description, 'createdAt', public.iso_time(created_at)) order by created_at desc, id)
      from (
        select id, name, nullif(left(description, 500), '') as description, coalesce(created_at, 'epoch') as created_at from public.agents
          where (is_published or (user_id = p_user_id and p_api_key_id is null))
            and (coalesce(cardinality(v_agent_ids), 0) = 0 or id = any (v_agent_ids))
            and case
              when p_agent_id is not null then id = p_agent_id
              when cardinality(v_agent_ids) > 0 then true
              else user_id = p_user_id end
          order by created_at desc, id limit p_limit) agents), '[]'));
end $$;

revoke execute on function public.list_models(uuid, uuid, integer, uuid) from public, anon, authenticated;
grant execute on function public.list_models(uuid, uuid, integer, uuid) to service_role;
