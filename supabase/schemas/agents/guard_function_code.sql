-- Refuses users who create functions of type `python`, or who change which code such a function names; only admins and
-- the service do.
create function public.guard_function_code() returns trigger
language plpgsql set search_path = '' as $$
begin
  if current_user in ('anon', 'authenticated') and new.function_type = 'python'
    and not exists (
      select from public.agent_functions f
        where f.id = case when tg_op = 'UPDATE' then old.id else new.id end and f.agent_id = new.agent_id
          and f.function_type = 'python' and f.config -> 'entrypoint' is not distinct from new.config -> 'entrypoint')
    and not public.has_role(auth.uid(), 'admin')
  then
    raise sqlstate '42501' using message = 'Only admins make functions that are Python, or say what code they are.';
  end if;
  return new;
end $$;

create trigger guard_function_code before insert or update on public.agent_functions for each row
  execute function public.guard_function_code();

revoke execute on function public.guard_function_code() from public, anon, authenticated;
