-- Returns a user's rows of a table as pages beside Supabase read them, newest first: {rows}, 500 at the most.
--   p_table     agents: the user's own, without their prompts and knowledge, and those that others have published, with their
--               names alone; agent_functions and scheduled_runs of an agent of the user's; agent_schedules
--   p_agent_id  agents: this one alone, wholly, if it is the user's
create function public.list_rows(p_user_id uuid, p_table text, p_agent_id uuid default null) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_rows jsonb;
begin
  if p_table = 'agents' and p_agent_id is not null then
    select jsonb_build_array(public.agent_row(a)) into v_rows from public.agents a where a.id = p_agent_id and a.user_id = p_user_id;
  elsif p_table = 'agents' then
    select jsonb_agg(case when a.user_id = p_user_id then public.agent_row(a) - '{system_prompt,knowledge_base}'::text[]
        else jsonb_build_object('id', a.id, 'user_id', a.user_id, 'name', left(a.name, 200), 'description', left(a.description, 500), 'is_published', true) end
        order by (a.user_id = p_user_id) desc, a.created_at desc, a.id) into v_rows
      from (select * from public.agents where user_id = p_user_id or is_published
        order by (user_id = p_user_id) desc, created_at desc, id limit 500) a;
  elsif p_table = 'agent_functions' then
    select jsonb_agg(to_jsonb(f) order by f.execution_order, f.created_at, f.id) into v_rows
      from public.agent_functions f join public.agents a on a.id = f.agent_id
      where f.agent_id = p_agent_id and a.user_id = p_user_id;
  elsif p_table = 'agent_schedules' then
    select jsonb_agg(to_jsonb(s) - '{unplanned_since,refusals,timed_at}'::text[] order by s.created_at desc, s.id) into v_rows
      from (select * from public.agent_schedules where user_id = p_user_id and (p_agent_id is null or agent_id = p_agent_id)
        order by created_at desc, id limit 500) s;
  elsif p_table = 'scheduled_runs' then
    select jsonb_agg(jsonb_build_object('id', r.id, 'schedule_id', r.schedule_id, 'agent_id', r.agent_id, 'status', r.status, 'started_at', r.started_at,
        'completed_at', r.completed_at, 'generated_content', left(r.generated_content, 2000), 'error_message', r.error_message,
        'credits_used', r.credits_used, 'run_id', r.run_id) order by r.created_at desc, r.id) into v_rows
      from (select * from public.scheduled_runs where user_id = p_user_id and (p_agent_id is null or agent_id = p_agent_id)
        order by created_at desc, id limit 20) r;
  end if;
  return jsonb_build_object('rows', coalesce(v_rows, '[]'));
end $$;

revoke execute on function public.list_rows(uuid, text, uuid) from public, anon, authenticated;
grant execute on function public.list_rows(uuid, text, uuid) to service_role;
