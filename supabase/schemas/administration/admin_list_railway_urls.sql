-- Returns {requests, total} on behalf of an admin: agents whose owners ask for another railway_url, those that have waited
-- longest first, `p_limit` of the total.
create function public.admin_list_railway_urls(p_admin_id uuid, p_limit integer default 100) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  perform public.note_admin_action(p_admin_id, 'railway_urls');
  return jsonb_build_object(
    'total', (select count(*) from public.agents where railway_url_requested is not null and length(railway_url_requested) <= 2000),
    'requests', coalesce((
      select jsonb_agg(jsonb_build_object('agentId', a.id, 'agentName', left(a.name, 1000), 'userId', a.user_id,
          'railwayUrl', left(a.railway_url, 2000), 'requestedUrl', a.railway_url_requested,
          'requestedAt', public.iso_time(a.railway_url_requested_at)) order by a.railway_url_requested_at, a.id)
        from (select * from public.agents where railway_url_requested is not null and length(railway_url_requested) <= 2000
          order by railway_url_requested_at, id limit p_limit) a), '[]'));
end $$;

revoke execute on function public.admin_list_railway_urls(uuid, integer) from public, anon, authenticated;
grant execute on function public.admin_list_railway_urls(uuid, integer) to service_role;
