-- Returns a page of what admins did and looked at, newest first, on behalf of an admin: {actions, next}. p_after is the `next`
-- of the page before, the number of its last action.
create function public.admin_list_actions(p_admin_id uuid, p_limit integer, p_after bigint default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  perform public.note_admin_action(p_admin_id, 'actions', null, jsonb_build_object('after', p_after));
  return (with page as (
    select a.*, row_number() over (order by a.id desc) as n from public.admin_actions a
      where p_after is null or a.id < p_after order by a.id desc limit p_limit + 1
  )
  select jsonb_build_object(
    'actions', coalesce((select jsonb_agg(jsonb_build_object('id', page.id, 'adminId', page.admin_id, 'adminEmail', m.email, 'action', page.action,
        'userId', page.user_id, 'userEmail', u.email, 'details', page.details, 'createdAt', public.iso_time(page.created_at)) order by n)
      from page left join auth.users m on m.id = page.admin_id left join auth.users u on u.id = page.user_id where n <= p_limit), '[]'),
    'next', (select id from page where n = p_limit and exists (select from page where n > p_limit))));
end $$;

revoke execute on function public.admin_list_actions(uuid, integer, bigint) from public, anon, authenticated;
grant execute on function public.admin_list_actions(uuid, integer, bigint) to service_role;
