-- Returns runs that wait for a process, those of each user in turn, the oldest first: {runs: [{runId, userId}], outstanding}. The queue hands them out.
--   p_queued  true includes runs that never had an owner; they are in the queue already, unless the queue was lost
create function public.list_waiting_runs(p_limit integer, p_queued boolean) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'runs', coalesce((
      select jsonb_agg(jsonb_build_object('runId', id, 'userId', user_id) order by turn, created_at) from (
        select id, user_id, created_at, row_number() over (partition by user_id order by created_at) as turn
          from public.agent_runs r
          where finished_at is null and lease_until < now() and public.is_abandoned(r)
            and (lease_until = '-infinity' or (owner is null and (p_queued or status = 'running')))
          order by turn, created_at limit p_limit) u), '[]'),
    'outstanding', exists (select from public.agent_runs where finished_at is null))
$$;

revoke execute on function public.list_waiting_runs(integer, boolean) from public, anon, authenticated;
grant execute on function public.list_waiting_runs(integer, boolean) to service_role;
