-- Returns those of the given runs that have ended, with the traces from which their events are replayed: [{run, trace}].
create function public.get_ended_runs(p_run_ids jsonb) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('run', public.run_json(r), 'trace', t.trace)), '[]')
    from jsonb_array_elements_text(p_run_ids) as wanted (id)
    join public.agent_runs r on r.id = wanted.id::uuid and r.finished_at is not null
    left join public.agent_run_traces t on t.run_id = r.id
$$;

revoke execute on function public.get_ended_runs(jsonb) from public, anon, authenticated;
grant execute on function public.get_ended_runs(jsonb) to service_role;
