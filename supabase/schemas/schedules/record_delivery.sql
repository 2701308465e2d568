-- Records the outcome of a try to send a result, unless another process has tried since.
--   p_status  `delivered`; `failed` for good; `pending`, to be tried again after p_seconds; or null if nothing is to be
--             sent any more
-- Returns {recorded}.
create function public.record_delivery(
  p_id uuid, p_tries integer, p_status text, p_error text default null, p_seconds numeric default 0
) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  update public.scheduled_runs r
    set delivery_status = p_status, delivery_at = now() + make_interval(secs => p_seconds)
    where id = p_id and delivery_tries = p_tries and delivery_status = 'pending';
  if found and p_status = 'failed' then
    update public.scheduled_runs r
      set (status, error) = (
        select p.status, p.error
          from jsonb_populate_record(null::public.scheduled_runs, jsonb_build_object('status', 'failed', 'error', p_error)) p)
      where id = p_id;
  end if;
  return jsonb_build_object('recorded', found);
end $$;

revoke execute on function public.record_delivery(uuid, integer, text, text, numeric)
  from public, anon, authenticated;
grant execute on function public.record_delivery(uuid, integer, text, text, numeric) to service_role;
