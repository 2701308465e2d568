-- Returns whether a user has a role. Policies call it, also policies that hold for everybody: to anonymous visitors it
-- answers false instead of refusing them. The platform's frontends call it by this name and with these arguments.
create function public.has_role(_user_id uuid, _role public.app_role) returns boolean
language sql stable security definer set search_path = '' as $$
  select coalesce(auth.role(), '') <> 'anon'
    and exists (select from public.user_roles where user_id = _user_id and role = _role)
$$;

revoke execute on function public.has_role(uuid, public.app_role) from public, anon;
grant execute on function public.has_role(uuid, public.app_role) to authenticated, service_role;
