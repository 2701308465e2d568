-- Returns the conversation that a response ends, {responses: [{runId, input, response}]}, the oldest first: that response, the one
-- that it continues, and so on. The caller may read them as in get_run.
--   p_limit      how many there may be
--   p_max_bytes  how many bytes of text they may have together
create function public.get_previous_responses(
  p_user_id uuid,
  p_run_id uuid,
  p_limit integer,
  p_max_bytes integer,
  p_api_key_id uuid default null,
  p_visitor text default null
) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_next uuid := p_run_id;
  v_previous uuid;
  v_input jsonb;
  v_response text;
  v_ended boolean;
  v_bytes bigint := 0;
  v_found jsonb[] := '{}';
begin
  while v_next is not null loop
    select s.previous_id, s.input, r.response, r.finished_at is not null into v_previous, v_input, v_response, v_ended
      from public.agent_responses s join public.agent_runs r on r.id = s.run_id
      where r.id = v_next and r.user_id = p_user_id
        and (p_api_key_id is null or (r.api_key_id = p_api_key_id and r.visitor is not distinct from p_visitor));
    if not found then
      raise sqlstate 'PT404' using hint = 'previous_response_not_found',
        message = 'A response of this conversation is not there: it was deleted, has expired, or was not stored.';
    end if;
    if not v_ended then
      raise sqlstate 'PT409' using hint = 'response_under_way', message = 'The response has not ended yet: try again when it has.';
    end if;
    v_bytes := v_bytes + octet_length(v_input::text) + octet_length(v_response);
    if v_bytes > p_max_bytes or cardinality(v_found) >= p_limit then
      raise sqlstate 'PT413' using hint = 'conversation_too_long', message = 'This conversation is too long to go on: begin a new one.';
    end if;
    v_found := v_found || jsonb_build_object('runId', v_next, 'input', v_input, 'response', v_response);
    v_next := v_previous;
  end loop;
  return jsonb_build_object('responses', (select coalesce(jsonb_agg(f order by n desc), '[]') from unnest(v_found) with ordinality as t (f, n)));
end $$;

revoke execute on function public.get_previous_responses(uuid, uuid, integer, integer, uuid, text) from public, anon, authenticated;
grant execute on function public.get_previous_responses(uuid, uuid, integer, integer, uuid, text) to service_role;
