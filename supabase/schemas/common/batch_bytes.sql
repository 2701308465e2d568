-- Returns how many bytes of texts whose size users choose one call returns; the row that reaches the limit is the last one.
-- PostgreSQL builds no JSON beyond 255 MiB, so that a batch counted in rows alone can be one that nobody gets.
create function public.batch_bytes() returns integer
language sql immutable set search_path = '' as $$ select 33554432 $$;

revoke execute on function public.batch_bytes() from public, anon, authenticated;
grant execute on function public.batch_bytes() to service_role;
