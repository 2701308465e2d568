-- Runs the audit on behalf of an admin.
create function public.admin_audit_credits(p_admin_id uuid, p_limit integer default 100) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  perform public.note_admin_action(p_admin_id, 'audit');
  return public.audit_credits(p_limit);
end $$;

revoke execute on function public.admin_audit_credits(uuid, integer) from public, anon, authenticated;
grant execute on function public.admin_audit_credits(uuid, integer) to service_role;
