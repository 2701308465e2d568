-- Returns whether a user has a role. Users are answered about themselves, admins about everybody, the service too; to others it
-- answers false instead of refusing them, since policies call it, also policies that hold for everybody. The platform's
-- frontends call it by this name and with these arguments.
create function public.has_role(_user_id uuid, _role public.app_role) returns boolean
language sql stable security definer set search_path = '' as $$
  select exists (select from public.user_roles where user_id = _user_id and role = _role)
    -- Without a role of PostgREST's it is the service, or whoever owns the database.
    and case coalesce(auth.role(), 'service_role')
      when 'service_role' then true
      when 'authenticated' then _user_id = auth.uid()
        or exists (select from public.user_roles where user_id = auth.uid() and role = 'admin')
      else false end
$$;

revoke execute on function public.has_role(uuid, public.app_role) from public, anon;
grant execute on function public.has_role(uuid, public.app_role) to authenticated, service_role;
