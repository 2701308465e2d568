-- Returns the events of finished steps of unfinished runs: [{runId, attempt, told: [{first, events}]}], of each run in turn the
-- next step, until they have batch_bytes; the caller asks again with the cursors that it has then. Readers that are connected to
-- another process than the run's get them this way.
--   p_cursors  {runId: the number of the last event that the reader knows}
create function public.get_told_steps(p_cursors jsonb) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_step record;
  v_run_ids uuid[] := '{}';
  v_steps integer[] := '{}';
  v_bytes bigint := 0;
begin
  for v_step in
    select c.run_id, c.step, row_number() over (partition by c.run_id order by c.step) as turn
      from jsonb_each_text(p_cursors) as wanted (id, cursor)
      join public.agent_runs r on r.id = wanted.id::uuid and r.finished_at is null
      join public.agent_run_checkpoints c on c.run_id = r.id and c.attempt = r.attempt
        and c.told_last > wanted.cursor::bigint
      order by turn, c.run_id
  loop
    begin
      v_bytes := v_bytes + (select pg_column_size(jsonb_build_array(told)) from public.agent_run_checkpoints
        where run_id = v_step.run_id and step = v_step.step);
      v_run_ids := v_run_ids || v_step.run_id;
      v_steps := v_steps || v_step.step;
    exception when others then
      -- Readers of this run get its end.
      raise warning 'step % of run % cannot be returned: %', v_step.step, v_step.run_id, sqlerrm;
    end;
    exit when v_bytes >= public.batch_bytes();
  end loop;
  return (
    select coalesce(jsonb_agg(jsonb_build_object('runId', run_id, 'attempt', attempt, 'told', told)), '[]') from (
      select run_id, c.attempt, jsonb_agg(c.told order by step) as told
        from unnest(v_run_ids, v_steps) as chosen (run_id, step) join public.agent_run_checkpoints c using (run_id, step)
        group by run_id, c.attempt) t);
end $$;

revoke execute on function public.get_told_steps(jsonb) from public, anon, authenticated;
grant execute on function public.get_told_steps(jsonb) to service_role;
