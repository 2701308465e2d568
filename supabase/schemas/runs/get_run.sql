-- Returns one run of a user; for an API key, or a visitor of it, only a run that this key, or visitor, has begun.
create function public.get_run(p_user_id uuid, p_run_id uuid, p_api_key_id uuid default null, p_visitor text default null) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
begin
  select * into v_run from public.agent_runs where id = p_run_id and user_id = p_user_id
    and (p_api_key_id is null or (api_key_id = p_api_key_id and visitor is not distinct from p_visitor));
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  return public.run_json(v_run);
end $$;

revoke execute on function public.get_run(uuid, uuid, uuid, text) from public, anon, authenticated;
grant execute on function public.get_run(uuid, uuid, uuid, text) to service_role;
