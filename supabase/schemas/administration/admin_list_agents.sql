-- Returns a page of everybody's agents, newest first, on behalf of an admin: {agents, next}.
--   p_name   what their names have in them, in any case; null for all
--   p_after  the `next` of the page before, the id of its last agent
create function public.admin_list_agents(p_admin_id uuid, p_limit integer, p_name text default null, p_after uuid default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_after timestamptz;
begin
  perform public.note_admin_action(p_admin_id, 'agents', null, jsonb_build_object('name', p_name, 'after', p_after));
  select coalesce(created_at, '-infinity') into v_after from public.agents where id = p_after;
  if p_after is not null and not found then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'The cursor is none that this service has given out.';
  end if;
  return (with page as (
    select a.*, row_number() over (order by coalesce(a.created_at, '-infinity') desc, a.id desc) as n from public.agents a
      where (p_name is null or strpos(lower(a.name), lower(p_name)) > 0)
        and (p_after is null or (coalesce(a.created_at, '-infinity'), a.id) < (v_after, p_after))
      order by coalesce(a.created_at, '-infinity') desc, a.id desc limit p_limit + 1
  )
  select jsonb_build_object(
    'agents', coalesce((select jsonb_agg(jsonb_build_object('agentId', page.id, 'name', left(page.name, 200), 'userId', page.user_id, 'email', u.email,
        'isPublished', coalesce(page.is_published, false), 'isHeavy', coalesce(page.is_heavy, false), 'executor', page.executor,
        'railwayUrl', page.railway_url) order by n) from page left join auth.users u on u.id = page.user_id where n <= p_limit), '[]'),
    'next', (select id from page where n = p_limit and exists (select from page where n > p_limit))));
end $$;

revoke execute on function public.admin_list_agents(uuid, integer, text, uuid) from public, anon, authenticated;
grant execute on function public.admin_list_agents(uuid, integer, text, uuid) to service_role;
