-- Lets every hash of an API key stand once, and pages without a session read on. It may be applied again.

-- Of several rows with one hash the oldest keeps it. The others are off, and have a hash that no key has, which says whose
-- double they are; docs/upgrade.md says how to list them.
do $$
declare
  v_double record;
begin
  lock table public.api_keys in share row exclusive mode;
  for v_double in
    select id, user_id, kept_id from (
      select id, user_id, first_value(id) over rows_of_hash as kept_id
        from public.api_keys window rows_of_hash as (partition by key_hash order by created_at nulls last, id)) ranked
      where id <> kept_id
  loop
    update public.api_keys set key_hash = 'double of ' || v_double.kept_id || ': ' || id, is_active = false where id = v_double.id;
    raise notice 'api_keys: the key % of the user % is off, because the older key % has the same hash', v_double.id, v_double.user_id, v_double.kept_id;
  end loop;
  -- A hash that stands is not spent, whoever had it beside its owner.
  delete from public.spent_key_hashes s using public.api_keys k where k.key_hash = s.key_hash;
end $$;

drop index if exists public.api_keys_by_hash;
create unique index api_keys_by_hash on public.api_keys (key_hash);

-- The function has_role is defined anew, which takes it from anon. A policy for everybody that calls it would then refuse
-- pages that read without a session; anon is answered false.
do $$
begin
  if exists (
    select from pg_catalog.pg_policies
      where roles && array['public', 'anon']::name[]
        and coalesce(qual, '') || coalesce(with_check, '') like '%has_role%')
  then
    grant execute on function public.has_role(uuid, public.app_role) to anon;
  end if;
end $$;
