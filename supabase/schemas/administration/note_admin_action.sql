-- Records what an admin does. Raises `forbidden` for anybody else.
create function public.note_admin_action(p_admin_id uuid, p_action text, p_user_id uuid default null, p_details jsonb default '{}')
returns void
language plpgsql security definer set search_path = '' as $$
begin
  perform public.require_admin(p_admin_id);
  insert into public.admin_actions (admin_id, action, user_id, details)
    values (p_admin_id, p_action, p_user_id, jsonb_strip_nulls(p_details));
end $$;

revoke execute on function public.note_admin_action(uuid, text, uuid, jsonb) from public, anon, authenticated;
grant execute on function public.note_admin_action(uuid, text, uuid, jsonb) to service_role;
