-- Returns a user's balance and a page of the ledger on behalf of an admin: see get_ledger.
create function public.admin_get_ledger(p_admin_id uuid, p_user_id uuid, p_limit integer, p_after uuid default null)
returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  perform public.note_admin_action(p_admin_id, 'ledger', p_user_id, jsonb_build_object('after', p_after));
  if not exists (select from auth.users where id = p_user_id) then
    raise sqlstate 'PT404' using hint = 'user_not_found', message = 'There is no such user.';
  end if;
  return public.get_ledger(p_user_id, p_limit, p_after);
end $$;

revoke execute on function public.admin_get_ledger(uuid, uuid, integer, uuid) from public, anon, authenticated;
grant execute on function public.admin_get_ledger(uuid, uuid, integer, uuid) to service_role;
