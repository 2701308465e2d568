-- Returns a run as callers see it.
--
-- This function and the others that every run calls are in PL/pgSQL because PostgreSQL keeps the plans of such a function
-- for the whole session. It parses and plans a function in SQL again in every transaction, unless it can inline the body,
-- and it never inlines a function that has a setting or its owner's rights. The times are formatted here for the same
-- reason: a call of iso_time costs more than the formatting.
create function public.run_json(r public.agent_runs) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_iso constant text := 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"';
begin
  return jsonb_build_object(
    'runId', r.id,
    'agentId', r.agent_id,
    'status', r.status,
    'attempt', r.attempt,
    'response', r.response,
    'finishReason', r.finish_reason,
    'usage', r.usage,
    'creditsReserved', r.credits_reserved,
    'creditsCharged', r.credits_charged,
    'error', r.error,
    'createdAt', to_char(r.created_at at time zone 'utc', v_iso),
    'startedAt', to_char(r.started_at at time zone 'utc', v_iso),
    'finishedAt', to_char(r.finished_at at time zone 'utc', v_iso))
    || case when r.is_cached then '{"cached": true}'::jsonb else '{}' end;
end $$;

revoke execute on function public.run_json(public.agent_runs) from public, anon, authenticated;
grant execute on function public.run_json(public.agent_runs) to service_role;
