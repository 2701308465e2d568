-- Returns users whom the embedded mode's console lets sign in, admins and the oldest first: {users: [{userId, email, isAdmin}]}.
create function public.list_demo_users(p_limit integer) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  return jsonb_build_object('users', coalesce((
    select jsonb_agg(jsonb_build_object('userId', id, 'email', email, 'isAdmin', is_admin) order by is_admin desc, created_at, email, id)
      from (select u.id, u.email, u.created_at, exists (select from public.user_roles r where r.user_id = u.id and r.role = 'admin') as is_admin
        from auth.users u order by is_admin desc, u.created_at, u.email, u.id limit p_limit) users), '[]'));
end $$;

revoke execute on function public.list_demo_users(integer) from public, anon, authenticated;
grant execute on function public.list_demo_users(integer) to service_role;
