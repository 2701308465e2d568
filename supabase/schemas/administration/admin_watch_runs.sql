-- Returns on behalf of an admin the runs that have begun, started or ended since a time, the earliest first: {runs, until}. The next
-- call takes `until` as its p_since: it is a little earlier than now, since transactions become visible later than they begin, so a
-- run may come twice. Without p_since there are no runs: a watch begins. It is recorded once, as is a look further back than a minute.
create function public.admin_watch_runs(p_admin_id uuid, p_since timestamptz default null, p_limit integer default 100) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_until timestamptz := clock_timestamp() - interval '2 seconds';
  v_runs jsonb;
  v_count integer;
  v_last timestamptz;
begin
  if coalesce(p_since < now() - interval '1 minute', true) then
    perform public.note_admin_action(p_admin_id, 'watch_runs', null, jsonb_build_object('since', public.iso_time(p_since)));
  else
    perform public.require_admin(p_admin_id);
  end if;
  select jsonb_agg(public.run_summary(id)
      || jsonb_build_object('reason', (select reason from public.agent_run_failures f where f.run_id = page.id)) order by changed_at, id), count(*), max(changed_at) into v_runs, v_count, v_last from (
    select id, max(changed_at) as changed_at from (
      select id, created_at as changed_at from public.agent_runs where created_at > p_since
      union all select id, started_at from public.agent_runs where finished_at is null and started_at > p_since
      union all select id, finished_at from public.agent_runs where not erased and finished_at > p_since) as changes
      group by id order by max(changed_at), id limit p_limit) as page;
  -- Of a full page the rest is in the next one.
  if v_count = p_limit then
    v_until := least(v_until, v_last - interval '1 microsecond');
  end if;
  return jsonb_build_object('runs', coalesce(v_runs, '[]'), 'until', to_char(v_until at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'));
end $$;

revoke execute on function public.admin_watch_runs(uuid, timestamp with time zone, integer) from public, anon, authenticated;
grant execute on function public.admin_watch_runs(uuid, timestamp with time zone, integer) to service_role;
