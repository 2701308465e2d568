-- Raises `forbidden` unless the user is an admin. For functions that take the user on whose behalf they are called. The operator,
-- who has the service's own key or its data directory, acts by commands under an id that is no user's.
create function public.require_admin(p_admin_id uuid) returns void
language plpgsql stable security definer set search_path = '' as $$
begin
  if p_admin_id = '00000000-0000-0000-0000-000000000000' and not exists (select from auth.users where id = p_admin_id) then
    return;
  end if;
  if not exists (select from public.user_roles where user_id = p_admin_id and role = 'admin') then
    raise sqlstate 'PT403' using hint = 'forbidden', message = 'This is for admins.';
  end if;
end $$;

revoke execute on function public.require_admin(uuid) from public, anon, authenticated;
grant execute on function public.require_admin(uuid) to service_role;
