-- Lets a firing whose run could not begin be tried again after p_seconds, by any process.
create function public.postpone_firing(p_id uuid, p_seconds numeric) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  update public.scheduled_runs set lease_until = now() + make_interval(secs => p_seconds)
    where id = p_id and run_id is null and request is not null;
  return jsonb_build_object('postponed', found);
end $$;

revoke execute on function public.postpone_firing(uuid, numeric) from public, anon, authenticated;
grant execute on function public.postpone_firing(uuid, numeric) to service_role;
