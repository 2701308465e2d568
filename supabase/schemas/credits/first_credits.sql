-- Returns the credits that a user's first balance begins with. Whoever has had a balance before gets none.
create function public.first_credits(p_user_id uuid) returns integer
language plpgsql stable security definer set search_path = '' as $$
begin
  if exists (select from public.credit_changes where user_id = p_user_id) then
    return 0;
  end if;
  return coalesce((select sign_up_credits from public.credit_settings), 5);
end $$;

revoke execute on function public.first_credits(uuid) from public, anon, authenticated;
grant execute on function public.first_credits(uuid) to service_role;
