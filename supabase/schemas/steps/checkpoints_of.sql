-- Returns the recorded steps of a run, in order, for the process that goes on with it.
create function public.checkpoints_of(p_run_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(record || jsonb_build_object('step', step) order by step), '[]') from public.agent_run_checkpoints where run_id = p_run_id
$$;

revoke execute on function public.checkpoints_of(uuid) from public, anon, authenticated;
grant execute on function public.checkpoints_of(uuid) to service_role;
