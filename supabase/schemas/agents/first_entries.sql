-- Returns the first entries of a JSON array, without a look at the others.
create function public.first_entries(p_array jsonb, p_count integer) returns jsonb
language sql immutable set search_path = '' as $$
  select case when p_count = 0 then '[]' else jsonb_path_query_array(p_array, '$[0 to $last]', jsonb_build_object('last', p_count - 1)) end
$$;

revoke execute on function public.first_entries(jsonb, integer) from public, anon, authenticated;
grant execute on function public.first_entries(jsonb, integer) to service_role;
