-- Ends a run. One transaction writes the result and the last step, settles the reservation, enters the charge in the
-- ledger and caches the response. Credits beyond the reservation are taken as far as the balance allows.
-- The run keeps its owner, whose log has more of it than the database: the results of tools, for readers that come late.
-- The first call returns `userWaits` with the run if another run of the user waits, perhaps for the end of this one: then true.
-- A repeated call returns what the first call did. A call by an attempt that no longer owns the run is refused.
--   p_credits        what the run cost; at most the reservation, as extended, is charged
--   p_error          {code, message, reason?}; admins alone read the reason
--   p_trace          the events from which the run can be replayed
--   p_keep_messages  true keeps the messages of the run's input
create function public.finish_run(
  p_run_id uuid,
  p_attempt integer,
  p_status text,
  p_response text,
  p_finish_reason text,
  p_usage jsonb,
  p_credits integer,
  p_model text,
  p_error jsonb,
  p_trace jsonb default null,
  p_keep_messages boolean default false
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
  v_credits integer;
  v_charged integer;
  v_steps integer := 0;
  v_last_at timestamptz;
  v_prompt bigint := 0;
  v_completion bigint := 0;
  v_total bigint := 0;
begin
  -- The entry in the ledger needs the user's row. A deletion of the user has it before it waits for the run, so it comes first.
  if has_table_privilege('auth.users', 'update') then
    perform from auth.users where id = (select user_id from public.agent_runs where id = p_run_id) for key share;
  end if;
  select * into v_run from public.agent_runs where id = p_run_id for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  if v_run.attempt <> p_attempt then
    raise sqlstate 'PT409' using hint = 'stale_attempt', message = 'Another attempt has taken this run over.';
  end if;
  if v_run.status in ('succeeded', 'failed', 'cancelled') then
    return public.run_json(v_run);
  end if;

  -- A run that is ended from outside costs at least its recorded steps, even if a new attempt has not reported them yet.
  v_credits := greatest(coalesce(p_credits, 0),
    case when p_status = 'cancelled' or p_error ->> 'code' = 'run_timeout' then v_run.credits_used else 0 end);
  if v_credits > v_run.credits_reserved then
    v_run.credits_reserved := public.extend_reservation(p_run_id, v_credits);
  end if;
  v_charged := greatest(0, least(v_credits, v_run.credits_reserved));
  if v_run.credits_reserved > 0 then
    update public.credit_balances
      set credits_reserved = greatest(0, credits_reserved - v_run.credits_reserved),
          credits_remaining = credits_remaining + v_run.credits_reserved - v_charged,
          credits_used_this_month = coalesce(credits_used_this_month, 0) + v_charged,
          credits_entered = -v_charged
      where user_id = v_run.user_id;
    -- Without a balance, which somebody has deleted in the meantime, there is nothing to charge.
    if not found then
      v_charged := 0;
    end if;
  end if;
  if v_charged > 0 then
    insert into public.credit_usage (user_id, agent_id, run_id, credits_used, operation_type, metadata)
      values (v_run.user_id, (select id from public.agents where id = v_run.agent_id for key share), v_run.id, v_charged,
        'agent_execution', jsonb_build_object('model', p_model, 'status', p_status, 'usage', p_usage));
  end if;
  update public.agent_runs
    set status = p_status, response = p_response, finish_reason = p_finish_reason, usage = p_usage,
        model = coalesce(p_model, model), error = public.note_failure(p_run_id, p_error), credits_reserved = 0, credits_charged = v_charged,
        finished_at = clock_timestamp(), lease_until = null
    where id = p_run_id
    returning * into v_run;
  -- The usage of the last step is the total less the earlier steps; few runs have any.
  if exists (select from public.agent_run_steps where run_id = p_run_id) then
    select coalesce(max(step), 0), max(finished_at), coalesce(sum((usage ->> 'promptTokens')::integer), 0),
        coalesce(sum((usage ->> 'completionTokens')::integer), 0), coalesce(sum((usage ->> 'totalTokens')::integer), 0)
      into v_steps, v_last_at, v_prompt, v_completion, v_total
      from public.agent_run_steps where run_id = p_run_id;
  end if;
  if (p_usage ->> 'totalTokens')::integer - v_total > 0 then
    insert into public.agent_run_steps (run_id, step, attempt, kind, name, finish_reason, usage, started_at, finished_at)
      values (p_run_id, v_steps + 1, p_attempt, 'model', v_run.model, p_finish_reason, p_usage || jsonb_build_object(
          'promptTokens', (p_usage ->> 'promptTokens')::integer - v_prompt,
          'completionTokens', (p_usage ->> 'completionTokens')::integer - v_completion,
          'totalTokens', (p_usage ->> 'totalTokens')::integer - v_total),
        coalesce(v_last_at, v_run.started_at), v_run.finished_at);
  end if;
  delete from public.agent_run_checkpoints where run_id = p_run_id;
  -- The agent, which belongs to its author, is not kept in any case.
  if p_keep_messages then
    update public.agent_run_inputs set input = input - array['agent', 'rates', 'cached'] where run_id = p_run_id;
  else
    delete from public.agent_run_inputs where run_id = p_run_id;
  end if;
  if p_trace is not null then
    insert into public.agent_run_traces (run_id, trace) values (p_run_id, p_trace);
  end if;
  -- Only a whole answer is kept for others: one that was cut off, filtered, or ended without saying how is not.
  if v_run.cache_key is not null and p_status = 'succeeded' and p_response <> '' and p_finish_reason = 'stop' then
    insert into public.response_cache (key, agent_id, response, finish_reason, model, expires_at)
      select v_run.cache_key, id, p_response, p_finish_reason, p_model, now() + make_interval(secs => v_run.cache_seconds)
        from public.agents where id = v_run.agent_id
      on conflict (key) do update set response = excluded.response, finish_reason = excluded.finish_reason,
        model = excluded.model, expires_at = excluded.expires_at;
  end if;
  return case
    when exists (select from public.agent_runs
      where user_id = v_run.user_id and finished_at is null and (owner is null or lease_until = '-infinity'))
    then public.run_json(v_run) || '{"userWaits": true}'
    else public.run_json(v_run) end;
end $$;

revoke execute on function public.finish_run(uuid, integer, text, text, text, jsonb, integer, text, jsonb, jsonb, boolean)
  from public, anon, authenticated;
grant execute on function public.finish_run(uuid, integer, text, text, text, jsonb, integer, text, jsonb, jsonb, boolean)
  to service_role;
