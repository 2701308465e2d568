-- Refuses texts of an agent that are larger than authors may write, where they change: a row that was larger before can
-- still be saved. The service has the same limits in supabase/functions/_shared/bounds/author-limits.ts.
create function public.bound_agent() returns trigger
language plpgsql set search_path = '' as $$
declare
  v_before jsonb := to_jsonb(old);
  v_after jsonb := to_jsonb(new);
begin
  if tg_op = 'INSERT' then
    -- An insert may turn out to be an upsert of a row that exists.
    select to_jsonb(a) into v_before from public.agents a where a.id = new.id;
  end if;
  if v_after -> 'name' is distinct from v_before -> 'name' then
    perform public.refuse_beyond('name', v_after ->> 'name', 1000);
  end if;
  if v_after -> 'description' is distinct from v_before -> 'description' then
    perform public.refuse_beyond('description', v_after ->> 'description', 10000);
  end if;
  if v_after -> 'ai_model' is distinct from v_before -> 'ai_model' then
    perform public.refuse_beyond('ai_model', v_after ->> 'ai_model', 200);
  end if;
  if v_after -> 'system_prompt' is distinct from v_before -> 'system_prompt' then
    perform public.refuse_beyond('system_prompt', v_after ->> 'system_prompt', 200000);
  end if;
  if v_after -> 'knowledge_base' is distinct from v_before -> 'knowledge_base' then
    perform public.refuse_beyond('knowledge_base', v_after ->> 'knowledge_base', 1000000);
  end if;
  return new;
end $$;

create trigger bound_agent before insert or update on public.agents for each row
  execute function public.bound_agent();

revoke execute on function public.bound_agent() from public, anon, authenticated;
