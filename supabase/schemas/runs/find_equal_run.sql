-- Returns the latest run that a caller, as in begin_run, has begun in the last hour with a request of this hash; null if there
-- is none.
--   p_waited_ms  if given, only a run that a repetition of the request has begun, while this one waited for so long
create function public.find_equal_run(
  p_user_id uuid, p_api_key_id uuid, p_visitor text, p_request_hash text, p_waited_ms double precision default null
) returns jsonb
language sql stable security definer set search_path = '' as $$
  select public.run_json(r) from public.agent_runs r
    where r.user_id = p_user_id and r.created_at > now() - coalesce(make_interval(secs => p_waited_ms / 1000), interval '1 hour')
      and r.request_hash = p_request_hash and (p_waited_ms is null or starts_with(r.idempotency_key, 'repeated:'))
      and r.api_key_id is not distinct from p_api_key_id and r.visitor is not distinct from p_visitor
    order by r.created_at desc, r.id desc limit 1
$$;

revoke execute on function public.find_equal_run(uuid, uuid, text, text, double precision) from public, anon, authenticated;
grant execute on function public.find_equal_run(uuid, uuid, text, text, double precision) to service_role;
