-- Returns a user's rows of a table as pages beside Supabase read them, newest first: {rows}, 500 at the most, and of what authors
-- write without a small bound as many as have 2 MB together, the first in any case: an answer is written in one turn of an event loop.
--   p_table     agents: the user's own, without their prompts and knowledge, and those that others have published, with their
--               names alone; agent_functions and scheduled_runs of an agent of the user's; agent_schedules
--   p_agent_id  agents: this one alone, wholly, if it is the user's
create function public.list_rows(p_user_id uuid, p_table text, p_agent_id uuid default null) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_rows jsonb;
  v_id uuid;
  v_one jsonb;
  v_all jsonb[] := '{}';
  v_bytes bigint := 0;
  v_max constant integer := 2000000;
begin
  if p_table = 'agents' and p_agent_id is not null then
    select jsonb_build_array(public.agent_row(a)) into v_rows from public.agents a where a.id = p_agent_id and a.user_id = p_user_id;
  elsif p_table = 'agents' then
    -- Prompts and knowledge, a megabyte an agent, are not even read.
    select jsonb_agg(jsonb_build_object('id', a.id, 'user_id', a.user_id, 'name', left(a.name, 200), 'description', left(a.description, 500),
        'is_published', coalesce(a.is_published, false)) || case when a.user_id <> p_user_id then '{}' else jsonb_build_object(
          'purpose', left(a.purpose, 500), 'status', left(a.status, 200), 'ai_model', left(a.ai_model, 200), 'temperature', case when a.temperature between -1000 and 1000 then a.temperature end, 'max_tokens', a.max_tokens,
          'is_heavy', coalesce(a.is_heavy, false), 'executor', a.executor, 'entrypoint', left(a.entrypoint, 500),
          'created_at', a.created_at, 'updated_at', a.updated_at) end
        order by (a.user_id = p_user_id) desc, a.created_at desc, a.id) into v_rows
      from (select * from public.agents where user_id = p_user_id or is_published
        order by (user_id = p_user_id) desc, created_at desc, id limit 500) a;
  elsif p_table = 'agent_functions' then
    -- One after the other: of what is beyond the limit nothing is read.
    for v_id in select f.id from public.agent_functions f join public.agents a on a.id = f.agent_id
      where f.agent_id = p_agent_id and a.user_id = p_user_id order by f.execution_order, f.created_at, f.id
    loop
      select to_jsonb(f) into v_one from public.agent_functions f where id = v_id;
      v_bytes := v_bytes + octet_length(v_one::text);
      exit when v_bytes > v_max and v_all <> '{}';
      v_all := v_all || v_one;
    end loop;
    v_rows := to_jsonb(v_all);
  elsif p_table = 'agent_schedules' then
    for v_id in select id from public.agent_schedules where user_id = p_user_id and (p_agent_id is null or agent_id = p_agent_id)
      order by created_at desc, id limit 500
    loop
      select to_jsonb(s) - '{unplanned_since,refusals,timed_at}'::text[] into v_one from public.agent_schedules s where id = v_id;
      v_bytes := v_bytes + octet_length(v_one::text);
      exit when v_bytes > v_max and v_all <> '{}';
      v_all := v_all || v_one;
    end loop;
    v_rows := to_jsonb(v_all);
  elsif p_table = 'scheduled_runs' then
    select jsonb_agg(jsonb_build_object('id', r.id, 'schedule_id', r.schedule_id, 'agent_id', r.agent_id, 'status', r.status, 'started_at', r.started_at,
        'completed_at', r.completed_at, 'generated_content', left(r.generated_content, 2000), 'error_message', left(r.error_message, 2000),
        'credits_used', r.credits_used, 'run_id', r.run_id) order by r.created_at desc, r.id) into v_rows
      from (select * from public.scheduled_runs where user_id = p_user_id and (p_agent_id is null or agent_id = p_agent_id)
        order by created_at desc, id limit 20) r;
  end if;
  return jsonb_build_object('rows', coalesce(v_rows, '[]'));
end $$;

revoke execute on function public.list_rows(uuid, text, uuid) from public, anon, authenticated;
grant execute on function public.list_rows(uuid, text, uuid) to service_role;
