-- Returns a page of users with their balances on behalf of an admin, newest first: {users, next}.
--   p_email  how their addresses begin, in any case; null for all
--   p_after  the `next` of the page before, the id of its last user
create function public.admin_list_users(p_admin_id uuid, p_limit integer, p_email text default null, p_after uuid default null)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_after timestamptz;
begin
  perform public.note_admin_action(p_admin_id, 'users', null, jsonb_build_object('email', p_email, 'after', p_after));
  select coalesce(created_at, '-infinity') into v_after from auth.users where id = p_after;
  if p_after is not null and not found then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'The cursor is none that this service has given out.';
  end if;
  return (with page as (
    select u.id, u.email, u.created_at, row_number() over (order by coalesce(u.created_at, '-infinity') desc, u.id desc) as n from auth.users u
      where (p_email is null or starts_with(lower(u.email), lower(p_email)))
        and (p_after is null or (coalesce(u.created_at, '-infinity'), u.id) < (v_after, p_after))
      order by coalesce(u.created_at, '-infinity') desc, u.id desc
      limit p_limit + 1
  )
  select jsonb_build_object(
    'users', coalesce((select jsonb_agg(jsonb_build_object('userId', id, 'email', email, 'createdAt', public.iso_time(created_at),
        'isAdmin', exists (select from public.user_roles r where r.user_id = page.id and r.role = 'admin'),
        'credits', public.get_credits(id)) order by n) from page where n <= p_limit), '[]'),
    'next', (select id from page where n = p_limit and exists (select from page where n > p_limit))));
end $$;

revoke execute on function public.admin_list_users(uuid, integer, text, uuid) from public, anon, authenticated;
grant execute on function public.admin_list_users(uuid, integer, text, uuid) to service_role;
