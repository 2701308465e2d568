-- Writes the end of a firing where its user sees it: in its own row, and in its schedule.
--   p_status   `completed` or `failed`
--   p_content  what the agent answered, if anything
--   p_error    the reason of a failure, as a sentence for the user
--   p_output   what became of the result: {success} if there is nothing to send, null if it is not sent yet
create function public.end_firing(
  p_id uuid, p_status text, p_content text, p_error text, p_output jsonb, p_credits integer, p_at timestamptz
) returns void
language plpgsql security definer set search_path = '' as $$
declare
  v_schedule_id uuid;
begin
  -- The values go through JSON because a project may have the columns with other types.
  update public.scheduled_runs r
    set (status, generated_content, result, error_message, error, output_result, credits_used) = (
          select p.status, p.generated_content, p.result, p.error_message, p.error, coalesce(p.output_result, r.output_result), p.credits_used
            from jsonb_populate_record(null::public.scheduled_runs, jsonb_build_object(
              'status', p_status, 'generated_content', p_content, 'result', p_content, 'error_message', p_error, 'error', p_error,
              'output_result', p_output, 'credits_used', p_credits)) p),
        completed_at = p_at, request = null, lease_until = null
    where id = p_id
    returning schedule_id into v_schedule_id;
  update public.agent_schedules
    set last_run_at = p_at,
        run_count = coalesce(run_count, 0) + case when p_status = 'completed' then 1 else 0 end,
        last_result = case when p_status = 'completed'
          then jsonb_build_object('success', true, 'content_length', length(p_content))
          else jsonb_build_object('success', false, 'error', p_error) end
    where id = v_schedule_id;
end $$;

revoke execute on function public.end_firing(uuid, text, text, text, jsonb, integer, timestamp with time zone)
  from public, anon, authenticated;
grant execute on function public.end_firing(uuid, text, text, text, jsonb, integer, timestamp with time zone) to service_role;
