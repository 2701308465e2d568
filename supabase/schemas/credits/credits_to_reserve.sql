-- Returns how many credits a run reserves at first: the price of a run, and the price of the tokens of its first prompt and
-- of those that its steps can produce at most.
--   p_rate           {perRun, perThousandTokens}
--   p_prompt_tokens  the tokens of the messages; those of the agent's own texts are added here, a token for four characters
create function public.credits_to_reserve(p_agent jsonb, p_rate jsonb, p_prompt_tokens integer default 0) returns integer
language plpgsql immutable set search_path = '' as $$
declare
  v_per_token numeric := (p_rate ->> 'perThousandTokens')::numeric / 1000;
  v_steps integer := 1;
  v_prompt numeric;
begin
  if p_agent ->> 'executor' = 'python' or v_per_token = 0 then
    return (p_rate ->> 'perRun')::integer;
  end if;
  if jsonb_array_length(p_agent -> 'functions') > 0 then
    if exists (select from jsonb_array_elements(p_agent -> 'functions') f where f -> 'config' ? 'parameters' or f ->> 'type' = 'mcp') then
      v_steps := coalesce((p_agent ->> 'maxSteps')::integer, 16);
    end if;
  end if;
  v_prompt := greatest(p_prompt_tokens, 0)
    + ceil((coalesce(length(p_agent ->> 'systemPrompt'), 0) + coalesce(length(nullif(p_agent ->> 'knowledgeBase', '[]')), 0)) / 4.0);
  return least(1000000000, (p_rate ->> 'perRun')::integer + ceil(v_per_token * v_prompt
    + least(1000000, v_per_token * coalesce((p_agent ->> 'maxTokens')::integer, 1000) * v_steps)))::integer;
end $$;

revoke execute on function public.credits_to_reserve(jsonb, jsonb, integer) from public, anon, authenticated;
grant execute on function public.credits_to_reserve(jsonb, jsonb, integer) to service_role;
