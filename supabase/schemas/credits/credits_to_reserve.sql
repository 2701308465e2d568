-- Returns how many credits a run reserves at first: the price of a run, and the price of the tokens that its steps can
-- produce at most.
--   p_rate  {perRun, perThousandTokens}
create function public.credits_to_reserve(p_agent jsonb, p_rate jsonb) returns integer
language plpgsql immutable set search_path = '' as $$
declare
  v_steps integer := 1;
begin
  if p_agent ->> 'executor' = 'python' then
    return (p_rate ->> 'perRun')::integer;
  end if;
  if jsonb_array_length(p_agent -> 'functions') > 0 then
    if exists (select from jsonb_array_elements(p_agent -> 'functions') f where f -> 'config' ? 'parameters' or f ->> 'type' = 'mcp') then
      v_steps := coalesce((p_agent ->> 'maxSteps')::integer, 16);
    end if;
  end if;
  return (p_rate ->> 'perRun')::integer + least(1000000, ceil((p_rate ->> 'perThousandTokens')::numeric
    * coalesce((p_agent ->> 'maxTokens')::integer, 1000) / 1000 * v_steps))::integer;
end $$;

revoke execute on function public.credits_to_reserve(jsonb, jsonb) from public, anon, authenticated;
grant execute on function public.credits_to_reserve(jsonb, jsonb) to service_role;
