-- Refuses functions beyond the number that an agent may have, and what is larger in one than authors may write, where it
-- changes: a row that was larger before can still be saved. The service has the same limits in
-- supabase/functions/_shared/bounds/author-limits.ts.
create function public.bound_function() returns trigger
language plpgsql set search_path = '' as $$
declare
  v_before jsonb := to_jsonb(old);
  v_after jsonb := to_jsonb(new);
begin
  if tg_op = 'INSERT' then
    -- An insert may turn out to be an upsert of a row that exists.
    select to_jsonb(f) into v_before from public.agent_functions f where f.id = new.id;
  end if;
  -- Two transactions at once may each add the last one: what is beyond the limit is not read.
  if v_after -> 'agent_id' is distinct from v_before -> 'agent_id'
    and (select count(*) from (select from public.agent_functions where agent_id = new.agent_id limit 100) f) >= 100
  then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'An agent has 100 functions at the most.';
  end if;
  if v_after -> 'name' is distinct from v_before -> 'name' then
    perform public.refuse_beyond('name', v_after ->> 'name', 200);
  end if;
  if v_after -> 'function_type' is distinct from v_before -> 'function_type' then
    perform public.refuse_beyond('function_type', v_after ->> 'function_type', 100);
  end if;
  if v_after -> 'description' is distinct from v_before -> 'description' then
    perform public.refuse_beyond('description', v_after ->> 'description', 4000);
  end if;
  if v_after -> 'trigger_keywords' is distinct from v_before -> 'trigger_keywords' then
    perform public.refuse_words('trigger_keywords', new.trigger_keywords);
  end if;
  if v_after -> 'config' is distinct from v_before -> 'config' then
    perform public.refuse_beyond('config', v_after ->> 'config', 200000);
    perform public.refuse_beyond('parameters in config', v_after #>> '{config,parameters}', 64000);
    if jsonb_typeof(v_after #> '{config,condition_keyword}') = 'string' then
      perform public.refuse_words('condition_keyword in config', string_to_array(v_after #>> '{config,condition_keyword}', ','));
    elsif jsonb_typeof(v_after #> '{config,condition_keyword}') = 'array' then
      perform public.refuse_words('condition_keyword in config', array(select jsonb_array_elements_text(v_after #> '{config,condition_keyword}')));
    end if;
  end if;
  return new;
end $$;

create trigger bound_function before insert or update on public.agent_functions for each row
  execute function public.bound_function();

revoke execute on function public.bound_function() from public, anon, authenticated;
