-- Returns a user's balance and a page of the ledger, newest first: {credits, entries, next}. Entries of both tables are in it;
-- what was given is below zero. p_after is the `next` of the page before, the id of its last entry.
create function public.get_ledger(p_user_id uuid, p_limit integer, p_after uuid default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_after timestamptz;
begin
  select created_at into v_after from public.credit_usage where id = p_after and user_id = p_user_id
    union all select created_at from public.credit_changes where id = p_after and user_id = p_user_id;
  if p_after is not null and not found then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'The cursor is none that this service has given out.';
  end if;
  return (with entries as (
    select id, run_id, agent_id, credits_used::bigint, operation_type, metadata, created_at
      from public.credit_usage where user_id = p_user_id
    union all
    select id, null, null, -credits, kind, metadata || jsonb_strip_nulls(jsonb_build_object('reason', reason, 'from', credits_before,
        'to', credits_after, 'dbRole', db_role, 'jwtRole', jwt_role)), created_at
      from public.credit_changes where user_id = p_user_id
  ), page as (
    select e.*, row_number() over (order by created_at desc, id desc) as n from entries e
      where p_after is null or (created_at, id) < (v_after, p_after)
      order by created_at desc, id desc
      limit p_limit + 1
  )
  select jsonb_build_object(
    'credits', public.get_credits(p_user_id),
    'entries', coalesce((select jsonb_agg(jsonb_build_object('id', id, 'runId', run_id, 'agentId', agent_id,
        'creditsUsed', credits_used, 'operationType', operation_type, 'metadata', metadata,
        'createdAt', public.iso_time(created_at)) order by n) from page where n <= p_limit), '[]'),
    'next', (select id from page where n = p_limit and exists (select from page where n > p_limit))));
end $$;

revoke execute on function public.get_ledger(uuid, integer, uuid) from public, anon, authenticated;
grant execute on function public.get_ledger(uuid, integer, uuid) to service_role;
