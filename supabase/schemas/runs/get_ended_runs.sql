-- Returns those of the given runs that have ended, with the traces from which their events are replayed: [{run, trace}], until
-- they have batch_bytes; the caller asks again for the others. A run that cannot be returned whole has the beginning of its
-- response and no trace.
create function public.get_ended_runs(p_run_ids jsonb) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
  v_one jsonb;
  v_ended jsonb[] := '{}';
  v_bytes bigint := 0;
begin
  for v_run in
    select r.* from jsonb_array_elements_text(p_run_ids) with ordinality as wanted (id, n)
      join public.agent_runs r on r.id = wanted.id::uuid and r.finished_at is not null
      order by n
  loop
    begin
      v_one := jsonb_build_object('run', public.run_json(v_run),
        'trace', (select trace from public.agent_run_traces where run_id = v_run.id));
    exception when others then
      raise warning 'run % cannot be returned whole: %', v_run.id, sqlerrm;
      v_run.response := left(v_run.response, 100000);
      v_one := jsonb_build_object('run', public.run_json(v_run), 'trace', null);
    end;
    v_ended := v_ended || v_one;
    v_bytes := v_bytes + pg_column_size(v_one);
    exit when v_bytes >= public.batch_bytes();
  end loop;
  return to_jsonb(v_ended);
end $$;

revoke execute on function public.get_ended_runs(jsonb) from public, anon, authenticated;
grant execute on function public.get_ended_runs(jsonb) to service_role;
