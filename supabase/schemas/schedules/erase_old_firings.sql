-- Erases what agents answered in firings that ended before a time, whoever fired them, and what went wrong in them. When they
-- were, how they ended and what they cost stays. A result that is still to be sent is left.
-- Returns how many firings were erased, at most p_limit.
create function public.erase_old_firings(p_before timestamptz, p_limit integer) returns integer
language plpgsql security definer set search_path = '' as $$
declare
  v_count integer;
begin
  update public.scheduled_runs
    set generated_content = null, result = null, error_message = null, error = null, output_result = '{}', request = null
    where id in (
      select id from public.scheduled_runs
        where completed_at < p_before and delivery_status is distinct from 'pending'
          and (generated_content is not null or result is not null or error_message is not null or error is not null)
        order by completed_at limit p_limit for update skip locked);
  get diagnostics v_count = row_count;
  return v_count;
exception when data_exception or integrity_constraint_violation then
  raise warning 'scheduled_runs does not let texts be erased: %', sqlerrm;
  return 0;
end $$;

revoke execute on function public.erase_old_firings(timestamp with time zone, integer) from public, anon, authenticated;
grant execute on function public.erase_old_firings(timestamp with time zone, integer) to service_role;
