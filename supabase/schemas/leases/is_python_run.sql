-- Returns whether a run's agent is written in Python.
create function public.is_python_run(p_run_id uuid) returns boolean
language sql stable security definer set search_path = '' as $$
  select exists (
    select from public.agent_run_inputs where run_id = p_run_id and input -> 'agent' ->> 'executor' = 'python')
$$;

revoke execute on function public.is_python_run(uuid) from public, anon, authenticated;
grant execute on function public.is_python_run(uuid) to service_role;
