-- Returns the platform's figures to the service, on behalf of an admin.
create function public.admin_stats(p_user_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform public.note_admin_action(p_user_id, 'stats');
  return (select to_jsonb(s) from public.platform_stats() s);
end $$;

revoke execute on function public.admin_stats(uuid) from public, anon, authenticated;
grant execute on function public.admin_stats(uuid) to service_role;
