-- Returns a run as lists have it: as run_json does, with its user, the first 500 characters of its response, and the number of
-- characters of the whole response.
create function public.run_summary(p_run_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
  v_length integer;
begin
  select * into v_run from public.agent_runs where id = p_run_id;
  v_length := length(v_run.response);
  v_run.response := left(v_run.response, 500);
  return public.run_json(v_run) || jsonb_build_object('userId', v_run.user_id, 'responseLength', v_length);
end $$;

revoke execute on function public.run_summary(uuid) from public, anon, authenticated;
grant execute on function public.run_summary(uuid) to service_role;
