-- Returns {model: {perRun, perThousandTokens}} for a list of models. The rate of all other models is under '*'; without a
-- row for it, that is one credit a run.
create function public.rates_of(p_models jsonb) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_others jsonb;
  v_rate jsonb;
  v_rates jsonb := '{}';
begin
  select jsonb_build_object('perRun', credits_per_run, 'perThousandTokens', credits_per_1k_tokens) into v_others
    from public.model_rates where model = '*';
  v_others := coalesce(v_others, '{"perRun": 1, "perThousandTokens": 0}');
  for i in 0 .. coalesce(jsonb_array_length(p_models), 0) - 1 loop
    select jsonb_build_object('perRun', credits_per_run, 'perThousandTokens', credits_per_1k_tokens) into v_rate
      from public.model_rates where model = p_models ->> i;
    v_rates := v_rates || jsonb_build_object(p_models ->> i, coalesce(v_rate, v_others));
  end loop;
  return v_rates || jsonb_build_object('*', v_others);
end $$;

revoke execute on function public.rates_of(jsonb) from public, anon, authenticated;
grant execute on function public.rates_of(jsonb) to service_role;
