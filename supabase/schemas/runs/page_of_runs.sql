-- Returns a page of runs, newest first, as {runs, next}, each run with its user and without most of its response, see
-- run_summary. p_user_id null means everybody's runs;
-- p_after is the `next` of the page before, which is the id of its last run.
create function public.page_of_runs(p_user_id uuid, p_limit integer, p_status text, p_agent_id uuid, p_after uuid)
returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_after public.agent_runs;
begin
  select * into v_after from public.agent_runs where id = p_after and (p_user_id is null or user_id = p_user_id);
  if p_after is not null and not found then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'The cursor is none that this service has given out.';
  end if;
  return (with page as (
    select r.id, r.created_at from public.agent_runs r
      where (p_user_id is null or r.user_id = p_user_id)
        and (p_status is null or r.status = p_status)
        and (p_agent_id is null or r.agent_id = p_agent_id)
        and (p_after is null or (r.created_at, r.id) < (v_after.created_at, v_after.id))
      order by r.created_at desc, r.id desc
      limit p_limit + 1
  ), numbered as (
    select id, row_number() over (order by created_at desc, id desc) as n from page
  )
  select jsonb_build_object(
    'runs', coalesce((select jsonb_agg(public.run_summary(id) order by n) from numbered where n <= p_limit), '[]'),
    'next', (select id from numbered where n = p_limit and exists (select from numbered where n > p_limit))));
end $$;

revoke execute on function public.page_of_runs(uuid, integer, text, uuid, uuid) from public, anon, authenticated;
grant execute on function public.page_of_runs(uuid, integer, text, uuid, uuid) to service_role;
