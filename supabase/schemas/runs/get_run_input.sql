-- Returns what an attempt is made with: {input, steps}. Processes do not keep large inputs while runs wait for their slots.
create function public.get_run_input(p_run_id uuid, p_attempt integer) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  perform from public.agent_runs where id = p_run_id and attempt = p_attempt and finished_at is null;
  if not found then
    raise sqlstate 'PT409' using hint = 'stale_attempt', message = 'Another attempt has taken this run over.';
  end if;
  return jsonb_build_object(
    'input', (select input from public.agent_run_inputs where run_id = p_run_id),
    'steps', public.checkpoints_of(p_run_id));
end $$;

revoke execute on function public.get_run_input(uuid, integer) from public, anon, authenticated;
grant execute on function public.get_run_input(uuid, integer) to service_role;
