-- Returns one run of a user.
create function public.get_run(p_user_id uuid, p_run_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
begin
  select * into v_run from public.agent_runs where id = p_run_id and user_id = p_user_id;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  return public.run_json(v_run);
end $$;

revoke execute on function public.get_run(uuid, uuid) from public, anon, authenticated;
grant execute on function public.get_run(uuid, uuid) to service_role;
