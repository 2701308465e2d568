-- Makes a user on behalf of an admin where there is no Supabase Auth, which makes those of a project: {userId, email}. Raises `bad_request`,
-- also for an address that somebody has.
create function public.admin_create_user(p_admin_id uuid, p_email text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_id constant uuid := gen_random_uuid();
  v_email constant text := lower(trim(p_email));
begin
  perform public.note_admin_action(p_admin_id, 'user_create', v_id);
  if to_regclass('auth.identities') is not null then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'Supabase Auth makes the users of a project: see its dashboard.';
  end if;
  if v_email !~ '^[^\s@]{1,200}@[^\s@]{1,100}$' then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'This is no e-mail address.';
  end if;
  if not exists (select from auth.users where lower(email) = v_email) then
    insert into auth.users (id, aud, role, email, created_at, updated_at) values (v_id, 'authenticated', 'authenticated', v_email, now(), now())
      on conflict do nothing;
  end if;
  -- Somebody else may have made it meanwhile.
  if not exists (select from auth.users where id = v_id) then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'There is a user with this e-mail address.';
  end if;
  return jsonb_build_object('userId', v_id, 'email', v_email);
end $$;

revoke execute on function public.admin_create_user(uuid, text) from public, anon, authenticated;
grant execute on function public.admin_create_user(uuid, text) to service_role;
