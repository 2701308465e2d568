-- Raises `forbidden` unless the user is an admin. For functions that take the user on whose behalf they are called.
create function public.require_admin(p_admin_id uuid) returns void
language plpgsql stable security definer set search_path = '' as $$
begin
  if not exists (select from public.user_roles where user_id = p_admin_id and role = 'admin') then
    raise sqlstate 'PT403' using hint = 'forbidden', message = 'This is for admins.';
  end if;
end $$;

revoke execute on function public.require_admin(uuid) from public, anon, authenticated;
grant execute on function public.require_admin(uuid) to service_role;
