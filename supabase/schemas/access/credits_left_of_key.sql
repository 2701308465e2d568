-- Returns how many credits an API key may still use, by what the runs cost or hold that it has begun in the last 24 hours;
-- null if it may use any number.
create function public.credits_left_of_key(p_api_key_id uuid) returns bigint
language sql stable security definer set search_path = '' as $$
  select k.credits_per_day - (
      select coalesce(sum(case when finished_at is null then credits_reserved else credits_charged end), 0)
        from public.agent_runs where api_key_id = p_api_key_id and created_at > now() - interval '1 day')::bigint
    from public.api_keys k where k.id = p_api_key_id and k.credits_per_day is not null
$$;

revoke execute on function public.credits_left_of_key(uuid) from public, anon, authenticated;
grant execute on function public.credits_left_of_key(uuid) to service_role;
