-- Ends a firing whose run will never begin.
create function public.fail_firing(p_id uuid, p_error text) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  update public.scheduled_runs r
    set (status, error) = (
          select p.status, p.error
            from jsonb_populate_record(null::public.scheduled_runs, jsonb_build_object('status', 'failed', 'error', p_error)) p),
        completed_at = now(), request = null, lease_until = null
    where id = p_id and run_id is null and request is not null;
  return jsonb_build_object('failed', found);
end $$;

revoke execute on function public.fail_firing(uuid, text) from public, anon, authenticated;
grant execute on function public.fail_firing(uuid, text) to service_role;
