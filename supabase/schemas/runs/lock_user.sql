-- Waits, before a user is deleted, for what is beginning and ending of theirs. The deletion has the user's row by now; after it
-- come the runs and then, by foreign keys, the balance. That is the order of finish_run: otherwise each would wait for the other.
create function public.lock_user() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  -- refuse_deleted_user holds it until a run has begun.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('user ' || old.id, 0));
  perform from public.agent_runs where user_id = old.id and finished_at is null order by id for update;
  return old;
end $$;

revoke execute on function public.lock_user() from public, anon, authenticated;
grant execute on function public.lock_user() to service_role;

do $$
begin
  create or replace trigger lock_user before delete on auth.users for each row execute function public.lock_user();
exception when insufficient_privilege then
  raise notice 'This role may not create triggers on auth.users: delete users with lock_user by another role';
end $$;
