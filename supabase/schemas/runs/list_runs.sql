-- Returns a page of a user's runs, newest first, as {runs, next}. p_after is the `next` of the page before.
create function public.list_runs(
  p_user_id uuid,
  p_limit integer,
  p_status text default null,
  p_agent_id uuid default null,
  p_after uuid default null
) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  if p_user_id is null then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'Whose runs?';
  end if;
  return public.page_of_runs(p_user_id, p_limit, p_status, p_agent_id, p_after);
end $$;

revoke execute on function public.list_runs(uuid, integer, text, uuid, uuid) from public, anon, authenticated;
grant execute on function public.list_runs(uuid, integer, text, uuid, uuid) to service_role;
