-- The size of what get_run_input returns, in bytes of JSON: the input of a run, and its recorded steps.
create function public.input_bytes(p_run_id uuid) returns bigint
language sql stable security definer set search_path = '' as $$
  select coalesce((select coalesce(bytes, octet_length(input::text)) from public.agent_run_inputs where run_id = p_run_id), 0)
    + coalesce((select sum(octet_length(record::text)) from public.agent_run_checkpoints where run_id = p_run_id), 0)
$$;

revoke execute on function public.input_bytes(uuid) from public, anon, authenticated;
grant execute on function public.input_bytes(uuid) to service_role;
