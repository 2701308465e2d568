-- Returns, on behalf of an admin, what was run a day, and who has runs under way or waiting, the most first:
-- {days: [{day, runs, failed, tokens, credits}], users: [{userId, email, running, waiting}]}. Days are UTC's, oldest first.
--   p_days   how many days, today included
--   p_limit  how many users
create function public.admin_figures(p_admin_id uuid, p_days integer, p_limit integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_today date := (now() at time zone 'utc')::date;
begin
  perform public.note_admin_action(p_admin_id, 'figures');
  return jsonb_build_object(
    'days', (
      select jsonb_agg(jsonb_build_object('day', day, 'runs', coalesce(runs, 0), 'failed', coalesce(failed, 0), 'tokens', coalesce(tokens, 0),
          'credits', coalesce(credits, 0)) order by day)
        from (select v_today - n as day from generate_series(0, p_days - 1) as numbers (n)) days
        left join (
          select (created_at at time zone 'utc')::date as day, count(*) as runs, count(*) filter (where status = 'failed') as failed,
              sum((usage ->> 'totalTokens')::numeric)::bigint as tokens, sum(credits_charged) as credits
            from public.agent_runs where created_at >= (v_today - (p_days - 1)) at time zone 'utc' group by 1) sums using (day)),
    'users', coalesce((
      select jsonb_agg(jsonb_build_object('userId', user_id, 'email', email, 'running', running, 'waiting', waiting) order by running + waiting desc, user_id)
        from (select r.user_id, u.email, count(*) filter (where r.status = 'running') as running, count(*) filter (where r.status = 'queued') as waiting
          from public.agent_runs r left join auth.users u on u.id = r.user_id
          where r.finished_at is null group by r.user_id, u.email order by count(*) desc, r.user_id limit p_limit) busy), '[]'));
end $$;

revoke execute on function public.admin_figures(uuid, integer, integer) from public, anon, authenticated;
grant execute on function public.admin_figures(uuid, integer, integer) to service_role;
