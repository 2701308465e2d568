-- Refuses texts of a schedule that are larger than authors may write, where they change: a row that was larger before can
-- still be saved. The service has the same limits in supabase/functions/_shared/bounds/author-limits.ts. The row is not made
-- into JSON as a whole: one that is nested deeper than PostgreSQL's stack could then not even be marked as faulty.
create function public.bound_schedule() returns trigger
language plpgsql set search_path = '' as $$
declare
  v_prompt text;
  v_config text;
begin
  if tg_op = 'UPDATE' then
    v_prompt := old.prompt_template;
    v_config := old.output_config::text;
  else
    -- An insert may turn out to be an upsert of a row that exists.
    select prompt_template, output_config::text into v_prompt, v_config from public.agent_schedules where id = new.id;
  end if;
  if new.prompt_template is distinct from v_prompt then
    perform public.refuse_beyond('prompt_template', new.prompt_template, 100000);
  end if;
  if new.output_config::text is distinct from v_config then
    perform public.refuse_beyond('output_config', new.output_config::text, 200000);
  end if;
  return new;
end $$;

create trigger bound_schedule before insert or update on public.agent_schedules for each row
  execute function public.bound_schedule();

revoke execute on function public.bound_schedule() from public, anon, authenticated;
