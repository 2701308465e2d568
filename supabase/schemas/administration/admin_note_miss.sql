-- Records what an admin has asked for in vain: the call that found nothing was rolled back, and its own record with it.
--   p_error  the code with which it was refused
create function public.admin_note_miss(p_admin_id uuid, p_action text, p_error text, p_user_id uuid default null, p_details jsonb default '{}')
returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  perform public.note_admin_action(p_admin_id, p_action, p_user_id, p_details || jsonb_build_object('error', p_error));
  return '{"noted": true}';
end $$;

revoke execute on function public.admin_note_miss(uuid, text, text, uuid, jsonb) from public, anon, authenticated;
grant execute on function public.admin_note_miss(uuid, text, text, uuid, jsonb) to service_role;
