-- Returns a page of everybody's agents, or of one user's, on behalf of an admin, newest first: {agents, next}.
--   p_published  only such as are published, or only such as are not; null for all
--   p_name       what their names have in them, in any case; null for all
--   p_after      the `next` of the page before, the id of its last agent
create function public.admin_list_agents(
  p_admin_id uuid, p_limit integer, p_user_id uuid default null, p_published boolean default null, p_name text default null, p_after uuid default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_after timestamptz;
begin
  perform public.note_admin_action(p_admin_id, 'agents', p_user_id, jsonb_build_object('published', p_published, 'name', p_name, 'after', p_after));
  select coalesce(created_at, '-infinity') into v_after from public.agents where id = p_after;
  if p_after is not null and not found then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'The cursor is none that this service has given out.';
  end if;
  return (with page as (
    select a.id, row_number() over (order by coalesce(a.created_at, '-infinity') desc, a.id desc) as n from public.agents a
      where (p_user_id is null or a.user_id = p_user_id)
        and (p_published is null or coalesce(a.is_published, false) = p_published)
        and (p_name is null or strpos(lower(a.name), lower(p_name)) > 0)
        and (p_after is null or (coalesce(a.created_at, '-infinity'), a.id) < (v_after, p_after))
      order by coalesce(a.created_at, '-infinity') desc, a.id desc
      limit p_limit + 1
  )
  select jsonb_build_object(
    'agents', coalesce((select jsonb_agg(public.agent_json(a) order by n) from page join public.agents a using (id) where n <= p_limit), '[]'),
    'next', (select id from page where n = p_limit and exists (select from page where n > p_limit))));
end $$;

revoke execute on function public.admin_list_agents(uuid, integer, uuid, boolean, text, uuid) from public, anon, authenticated;
grant execute on function public.admin_list_agents(uuid, integer, uuid, boolean, text, uuid) to service_role;
