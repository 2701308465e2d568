-- Refuses a run that begins while its user is being deleted: the deletion would not see it, and leave its texts. It does not
-- wait, because the deletion may wait for another run of the same transaction.
create function public.refuse_deleted_user() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if not pg_catalog.pg_try_advisory_xact_lock_shared(pg_catalog.hashtextextended('user ' || new.user_id, 0)) then
    raise sqlstate 'PT401' using hint = 'unauthorized', message = 'This user is being deleted.';
  end if;
  return new;
end $$;

create trigger refuse_deleted_user before insert on public.agent_runs for each row
  execute function public.refuse_deleted_user();

revoke execute on function public.refuse_deleted_user() from public, anon, authenticated;
grant execute on function public.refuse_deleted_user() to service_role;
