-- Records the outcome of a try to send a result, unless another process has tried since.
--   p_status  `delivered`; `failed` for good; `pending`, to be tried again after p_seconds; or null if nothing is to be
--             sent any more
--   p_error   the reason of a failure for good, as a sentence for the user
--   p_result  what the page shows: {success, status} or {success, error}; null leaves what the last try has said
-- Returns {recorded}. A run whose result did not arrive is completed nevertheless, as the platform has it.
create function public.record_delivery(
  p_id uuid, p_tries integer, p_status text, p_error text default null, p_seconds numeric default 0, p_result jsonb default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  update public.scheduled_runs r
    set delivery_status = p_status, delivery_at = now() + make_interval(secs => p_seconds),
        output_result = coalesce(p_result, case
          when p_status = 'failed' then jsonb_build_object('success', false, 'error', p_error)
          when p_status = 'pending' then r.output_result
          else '{"success": true}' end)
    where id = p_id and delivery_tries = p_tries and delivery_status = 'pending';
  if found and p_status = 'failed' then
    update public.scheduled_runs r
      set (error_message, error) = (
        select p.error_message, p.error
          from jsonb_populate_record(null::public.scheduled_runs, jsonb_build_object('error_message', p_error, 'error', p_error)) p)
      where id = p_id;
    return '{"recorded": true}';
  end if;
  return jsonb_build_object('recorded', found);
end $$;

revoke execute on function public.record_delivery(uuid, integer, text, text, numeric, jsonb) from public, anon, authenticated;
grant execute on function public.record_delivery(uuid, integer, text, text, numeric, jsonb) to service_role;
