-- Returns a page of the periods of users and agents, newest first, on behalf of an admin: {periods: [{id, userId, userEmail, agentId,
-- agentName, days, updatedAt}], next}. p_after is the `next` of the page before, the id of its last period.
create function public.admin_list_retention(p_admin_id uuid, p_limit integer, p_after bigint default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  perform public.note_admin_action(p_admin_id, 'retention', null, jsonb_build_object('after', p_after));
  return (with page as (
    select p.*, row_number() over (order by p.id desc) as n from public.retention_periods p
      where p_after is null or p.id < p_after order by p.id desc limit p_limit + 1
  )
  select jsonb_build_object(
    'periods', coalesce((select jsonb_agg(jsonb_build_object('id', page.id, 'userId', page.user_id, 'userEmail', u.email, 'agentId', page.agent_id,
        'agentName', left(a.name, 200), 'days', page.days, 'updatedAt', public.iso_time(page.updated_at)) order by n)
      from page left join auth.users u on u.id = page.user_id left join public.agents a on a.id = page.agent_id where n <= p_limit), '[]'),
    'next', (select id from page where n = p_limit and exists (select from page where n > p_limit))));
end $$;

revoke execute on function public.admin_list_retention(uuid, integer, bigint) from public, anon, authenticated;
grant execute on function public.admin_list_retention(uuid, integer, bigint) to service_role;
