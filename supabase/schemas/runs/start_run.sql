-- Marks a queued run as running, once it has a slot.
create function public.start_run(p_run_id uuid, p_attempt integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
begin
  update public.agent_runs set status = 'running', started_at = coalesce(started_at, now())
    where id = p_run_id and attempt = p_attempt and status in ('queued', 'running')
    returning * into v_run;
  if not found then
    raise sqlstate 'PT409' using hint = 'stale_attempt', message = 'Another attempt has taken this run over.';
  end if;
  return public.run_json(v_run);
end $$;

revoke execute on function public.start_run(uuid, integer) from public, anon, authenticated;
grant execute on function public.start_run(uuid, integer) to service_role;
