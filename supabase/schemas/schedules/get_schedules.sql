-- Returns schedules that are switched on, in the order of their ids, with all that is needed to plan and fire them, until they
-- have 4 MiB: {now, schedules, left}. `left` are the ids of the others, for the next call.
create function public.get_schedules(p_ids jsonb) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_id uuid;
  v_n bigint;
  v_one jsonb;
  v_read jsonb[] := '{}';
  v_bytes bigint := 0;
  v_left jsonb := '[]';
begin
  for v_id, v_n in
    select s.id, n from jsonb_array_elements_text(p_ids) with ordinality as wanted (id, n)
      join public.agent_schedules s on s.id = wanted.id::uuid and s.is_enabled
      order by n
  loop
    v_one := public.schedule_json(v_id);
    v_read := v_read || v_one;
    v_bytes := v_bytes + pg_column_size(v_one);
    if v_bytes >= 4194304 then
      v_left := jsonb_path_query_array(p_ids, '$[$n to last]', jsonb_build_object('n', v_n));
      exit;
    end if;
  end loop;
  return jsonb_build_object('now', public.iso_time(now()), 'schedules', to_jsonb(v_read), 'left', v_left);
end $$;

revoke execute on function public.get_schedules(jsonb) from public, anon, authenticated;
grant execute on function public.get_schedules(jsonb) to service_role;
