-- Keeps what a run gets of knowledge that is larger than its author may write. A migration calls it, for rows from before the limit.
create function public.cut_knowledge() returns void
language plpgsql set search_path = '' as $$
declare
  v_id uuid;
begin
  -- What is stored in fewer bytes fits, see fits_knowledge: nothing is compressed to less than a 255th.
  for v_id in select id from public.agents where pg_column_size(knowledge_base) > 600 loop
    begin
      insert into public.agent_knowledge_cuts (agent_id, knowledge)
        select id, public.fit_knowledge(to_jsonb(knowledge_base)) from public.agents
          where id = v_id and not public.fits_knowledge(to_jsonb(knowledge_base))
        on conflict (agent_id) do update set knowledge = excluded.knowledge;
    exception when others then
      -- One row does not keep the others: this one is cut by each of its runs.
      raise notice 'agents: the knowledge of % is not cut: %', v_id, sqlerrm;
    end;
  end loop;
end $$;

revoke execute on function public.cut_knowledge() from public, anon, authenticated;
grant execute on function public.cut_knowledge() to service_role;
