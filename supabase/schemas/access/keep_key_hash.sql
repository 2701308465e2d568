-- Keeps the hash of a key whose row is deleted, or gets another hash, from being registered by another user. It looks after
-- the row is written: by then an insert has waited for the deletion that it competes with.
create function public.keep_key_hash() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if tg_op <> 'DELETE' and exists (
    select from public.spent_key_hashes where key_hash = new.key_hash and user_id <> new.user_id)
  then
    raise unique_violation using message = 'A key with this hash has been registered before.';
  end if;
  if tg_op = 'DELETE' or (tg_op = 'UPDATE' and (old.key_hash <> new.key_hash or old.user_id <> new.user_id)) then
    insert into public.spent_key_hashes (key_hash, user_id) values (old.key_hash, old.user_id) on conflict do nothing;
  end if;
  return null;
end $$;

create trigger keep_key_hash after insert or update of key_hash, user_id or delete on public.api_keys for each row
  execute function public.keep_key_hash();

revoke execute on function public.keep_key_hash() from public, anon, authenticated;
