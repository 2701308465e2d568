-- Generated from supabase/schemas by `npm run schema`; edit those files instead of this one.
--
-- Defines the functions and triggers that are new in this release, or other than in the one before. It may be applied again.

-- schemas/access/has_role.sql

-- Returns whether a user has a role. Users are answered about themselves, admins about everybody, the service too; to others it
-- answers false instead of refusing them, since policies call it, also policies that hold for everybody. The platform's
-- frontends call it by this name and with these arguments.
create or replace function public.has_role(_user_id uuid, _role public.app_role) returns boolean
language sql stable security definer set search_path = '' as $$
  select exists (select from public.user_roles where user_id = _user_id and role = _role)
    -- Without a role of PostgREST's it is the service, or whoever owns the database.
    and case coalesce(auth.role(), 'service_role')
      when 'service_role' then true
      when 'authenticated' then _user_id = auth.uid()
        or exists (select from public.user_roles where user_id = auth.uid() and role = 'admin')
      else false end
$$;

revoke execute on function public.has_role(uuid, public.app_role) from public, anon;
grant execute on function public.has_role(uuid, public.app_role) to authenticated, service_role;

-- schemas/ledger/expected_balances.sql

-- Returns what each user has, and what the ledger adds up to. `actual` is null for users who have entries but no balance.
create or replace function public.expected_balances()
returns table (user_id uuid, expected bigint, actual bigint)
language sql stable security definer set search_path = '' as $$
  select coalesce(b.user_id, c.user_id, u.user_id), coalesce(c.credits, 0) - coalesce(u.used, 0),
      case when b.user_id is not null then coalesce(b.credits_remaining, 0)::bigint + b.credits_reserved end
    from (select * from public.credit_balances where user_id is not null) b
    full join (select user_id, sum(credits)::bigint as credits from public.credit_changes group by user_id) c
      on c.user_id = b.user_id
    full join (select user_id, sum(credits_used)::bigint as used from public.credit_usage where user_id is not null group by user_id) u
      on u.user_id = coalesce(b.user_id, c.user_id)
$$;

revoke execute on function public.expected_balances() from public, anon, authenticated;
grant execute on function public.expected_balances() to service_role;

-- schemas/access/api_key_json.sql

-- Returns an API key as its owner sees it. Pages may have given it a name of any length, and lists of any, of which the beginning is told.
create or replace function public.api_key_json(k public.api_keys) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return jsonb_build_object(
    'id', k.id,
    'name', left(k.key_name, 200),
    'prefix', left(k.key_prefix, 20),
    'publishable', k.is_publishable,
    'scopes', k.scopes[1:1],
    'agentIds', coalesce(k.agent_ids[1:100], '{}'),
    'origins', array(select left(origin, 300) from unnest(k.origins[1:100]) as origins (origin)),
    'requestsPerDay', k.requests_per_day,
    'creditsPerDay', k.credits_per_day,
    'isActive', coalesce(k.is_active, false),
    'lastUsedAt', public.iso_time(k.last_used_at),
    'createdAt', public.iso_time(k.created_at));
end $$;

revoke execute on function public.api_key_json(public.api_keys) from public, anon, authenticated;
grant execute on function public.api_key_json(public.api_keys) to service_role;

-- schemas/access/authenticate_api_key.sql

-- Returns whose an active API key is, and what it may: {userId, apiKeyId, isPublishable, scopes, origins, visitorSecret}, all
-- null if there is no such key, or one from before bound_key with more than its owner may write. The time of use is written once a minute at most.
--   p_key_hash    the SHA-256 of the key, in hex
--   p_api_key_id  instead of the hash, for a visitor's token, which names its key: the caller verifies it by `visitorSecret`
create or replace function public.authenticate_api_key(p_key_hash text, p_api_key_id uuid default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_key public.api_keys;
  v_secret text;
begin
  if p_api_key_id is null then
    select * into v_key from public.api_keys where key_hash = p_key_hash and is_active
      and coalesce(pg_column_size(origins), 0) + coalesce(pg_column_size(agent_ids), 0) <= 32768 limit 1;
  else
    select * into v_key from public.api_keys where id = p_api_key_id and is_publishable and is_active
      and coalesce(pg_column_size(origins), 0) + coalesce(pg_column_size(agent_ids), 0) <= 32768;
  end if;
  -- What is stored in 32 KiB may be a hundred times as much.
  if octet_length(v_key.origins::text) > 65536 then
    v_key := null;
  end if;
  if v_key.last_used_at is null or v_key.last_used_at < now() - interval '1 minute' then
    update public.api_keys set last_used_at = now() where id = v_key.id;
  end if;
  -- The secret is the owner's too: a row of another user with the same id has another one.
  if v_key.is_publishable then
    select encode(sha256(convert_to(secret || v_key.id || v_key.user_id, 'UTF8')), 'hex') into v_secret from public.visitor_secret;
  end if;
  return jsonb_build_object('userId', v_key.user_id, 'apiKeyId', v_key.id, 'isPublishable', v_key.is_publishable,
    'scopes', v_key.scopes[1:1], 'origins', v_key.origins, 'visitorSecret', v_secret);
end $$;

revoke execute on function public.authenticate_api_key(text, uuid) from public, anon, authenticated;
grant execute on function public.authenticate_api_key(text, uuid) to service_role;

-- schemas/access/bound_key.sql

-- Refuses more of an API key than its owner may write, where it changes: all of it is read with each request. The service has the
-- same limits in src/contract/api-keys.ts.
create or replace function public.bound_key() returns trigger
language plpgsql set search_path = '' as $$
declare
  v_before public.api_keys := old;
begin
  if tg_op = 'INSERT' then
    -- An insert may turn out to be an upsert of a row that exists.
    select * into v_before from public.api_keys where id = new.id;
  end if;
  if (new.scopes, new.agent_ids, new.origins) is distinct from (v_before.scopes, v_before.agent_ids, v_before.origins) then
    if cardinality(new.scopes) > 1 or cardinality(new.agent_ids) > 100 or cardinality(new.origins) > 100 then
      raise sqlstate 'PT400' using hint = 'bad_request', message = 'An API key has one scope, 100 agents and 100 origins at the most.';
    end if;
    if exists (select from unnest(new.origins) as origins (origin) where octet_length(origin) > 300) then
      raise sqlstate 'PT400' using hint = 'bad_request', message = 'An origin of an API key has more than 300 bytes.';
    end if;
  end if;
  return new;
end $$;

create or replace trigger bound_key before insert or update on public.api_keys for each row
  execute function public.bound_key();

revoke execute on function public.bound_key() from public, anon, authenticated;

-- schemas/access/check_key_budget.sql

-- Raises `key_budget_exhausted` if an API key may begin no further run that holds p_credits. What counts are the runs that it
-- has begun in the last 24 hours, with what they cost or still hold.
create or replace function public.check_key_budget(p_api_key_id uuid, p_credits integer) returns void
language plpgsql security definer set search_path = '' as $$
declare
  v_requests_per_day integer;
begin
  select requests_per_day into v_requests_per_day
    from public.api_keys where id = p_api_key_id and (requests_per_day is not null or credits_per_day is not null);
  if not found then
    return;
  end if;
  -- If two runs of a key begin at once, the second waits here until the first is there to be counted.
  perform from public.api_keys where id = p_api_key_id for no key update;
  if p_credits > public.credits_left_of_key(p_api_key_id) or v_requests_per_day <= (
    select count(*) from public.agent_runs where api_key_id = p_api_key_id and created_at > now() - interval '1 day')
  then
    raise sqlstate 'PT402' using hint = 'key_budget_exhausted',
      message = 'This key has used up what it may in a day: try again later.';
  end if;
end $$;

revoke execute on function public.check_key_budget(uuid, integer) from public, anon, authenticated;
grant execute on function public.check_key_budget(uuid, integer) to service_role;

-- schemas/access/create_api_key.sql

-- Registers an API key of a user. Returns it as api_key_json does. Raises `unauthorized` for who is no user, `agent_not_found`
-- for an agent that the user may not run, `too_many_keys` beyond 100 active ones.
--   p_key_hash  the SHA-256 of the key, in hex: the database never sees the key
--   p_limits    {publishable, scopes, agentIds, origins, requestsPerDay, creditsPerDay}, as in the columns
create or replace function public.create_api_key(p_user_id uuid, p_name text, p_key_hash text, p_key_prefix text, p_limits jsonb)
returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_key public.api_keys;
  v_agent_ids uuid[] := array(select id::uuid from jsonb_array_elements_text(p_limits -> 'agentIds') as ids (id));
begin
  -- If two keys of a user are made at once, the second waits here until the first is there to be counted.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('api_keys' || p_user_id, 0));
  if not exists (select from auth.users where id = p_user_id) then
    raise sqlstate 'PT401' using hint = 'unauthorized', message = 'There is no such user any more.';
  end if;
  if (select count(*) from public.api_keys where user_id = p_user_id and is_active) >= 100 then
    raise sqlstate 'PT409' using hint = 'too_many_keys', message = 'You have 100 active keys: revoke one first.';
  end if;
  if exists (
    select from unnest(v_agent_ids) as wanted (id)
      where not exists (select from public.agents a where a.id = wanted.id and (a.is_published or a.user_id = p_user_id)))
  then
    raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
  end if;
  insert into public.api_keys
      (user_id, key_name, key_hash, key_prefix, is_active, is_publishable, scopes, agent_ids, origins, requests_per_day, credits_per_day)
    values (p_user_id, p_name, p_key_hash, p_key_prefix, true, (p_limits ->> 'publishable')::boolean,
      array(select jsonb_array_elements_text(p_limits -> 'scopes')), v_agent_ids,
      array(select jsonb_array_elements_text(p_limits -> 'origins')),
      (p_limits ->> 'requestsPerDay')::integer, (p_limits ->> 'creditsPerDay')::integer)
    returning * into v_key;
  return public.api_key_json(v_key);
end $$;

revoke execute on function public.create_api_key(uuid, text, text, text, jsonb) from public, anon, authenticated;
grant execute on function public.create_api_key(uuid, text, text, text, jsonb) to service_role;

-- schemas/access/create_ticket.sql

-- Stores a ticket of a caller, by the SHA-256 of it in hex, that may be used within p_seconds; with p_run_id, on this run alone.
-- Returns {expiresAt}. A user has 1,000 unused ones at the most.
create or replace function public.create_ticket(p_hash text, p_caller jsonb, p_seconds numeric, p_run_id uuid default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_user_id constant uuid := p_caller ->> 'userId';
  v_expires_at constant timestamptz := now() + make_interval(secs => p_seconds);
begin
  delete from public.access_tickets where user_id = v_user_id and used_at is null and expires_at < now();
  if (select count(*) from public.access_tickets where user_id = v_user_id and used_at is null) >= 1000 then
    raise sqlstate 'PT429' using hint = 'too_many_tickets', message = 'Too many tickets wait to be used: try again in a minute.';
  end if;
  insert into public.access_tickets (hash, user_id, caller, run_id, expires_at) values (p_hash, v_user_id, p_caller, p_run_id, v_expires_at);
  return jsonb_build_object('expiresAt', public.iso_time(v_expires_at));
end $$;

revoke execute on function public.create_ticket(text, jsonb, numeric, uuid) from public, anon, authenticated;
grant execute on function public.create_ticket(text, jsonb, numeric, uuid) to service_role;

-- schemas/access/credits_left_of_key.sql

-- Returns how many credits an API key may still use, by what the runs cost or hold that it has begun in the last 24 hours;
-- null if it may use any number.
create or replace function public.credits_left_of_key(p_api_key_id uuid) returns bigint
language sql stable security definer set search_path = '' as $$
  select k.credits_per_day - (
      select coalesce(sum(case when finished_at is null then credits_reserved else credits_charged end), 0)
        from public.agent_runs where api_key_id = p_api_key_id and created_at > now() - interval '1 day')::bigint
    from public.api_keys k where k.id = p_api_key_id and k.credits_per_day is not null
$$;

revoke execute on function public.credits_left_of_key(uuid) from public, anon, authenticated;
grant execute on function public.credits_left_of_key(uuid) to service_role;

-- schemas/access/find_ended_callers.sql

-- Which of these callers may no longer be served, as their positions in the array from 0 on. A caller is {userId} with the
-- apiKeyId of an API key or the sessionId of an access token, if they came with one. A caller has ended if the user is gone,
-- the key is off, or the session is. Sessions are only looked at where there is a table of them that this role may read.
create or replace function public.find_ended_callers(p_callers jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_open uuid[];
  v_sees_sessions boolean := to_regclass('auth.sessions') is not null;
begin
  if v_sees_sessions then
    begin
      execute $q$
        select array_agg(s.id) from auth.sessions s
        where s.id in (select (c ->> 'sessionId')::uuid from jsonb_array_elements($1) c)
          and coalesce((to_jsonb(s) ->> 'not_after')::timestamptz > now(), true)
      $q$ into v_open using p_callers;
    exception when insufficient_privilege then
      v_sees_sessions := false;
    end;
  end if;
  return coalesce((
    select jsonb_agg(position - 1 order by position)
    from jsonb_array_elements(p_callers) with ordinality as callers (caller, position)
    where not exists (select from auth.users where id = (caller ->> 'userId')::uuid)
      or (caller ? 'apiKeyId' and not exists (select from public.api_keys
        where id = (caller ->> 'apiKeyId')::uuid and user_id = (caller ->> 'userId')::uuid and is_active))
      or (caller ? 'sessionId' and v_sees_sessions and not (caller ->> 'sessionId')::uuid = any (coalesce(v_open, '{}')))
  ), '[]');
end $$;

revoke execute on function public.find_ended_callers(jsonb) from public, anon, authenticated;
grant execute on function public.find_ended_callers(jsonb) to service_role;

-- schemas/access/keep_key_hash.sql

-- Keeps the hash of a key whose row is deleted, or gets another hash, from being registered by another user. It looks after
-- the row is written: by then an insert has waited for the deletion that it competes with.
create or replace function public.keep_key_hash() returns trigger
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

create or replace trigger keep_key_hash after insert or update of key_hash, user_id or delete on public.api_keys for each row
  execute function public.keep_key_hash();

revoke execute on function public.keep_key_hash() from public, anon, authenticated;

-- schemas/access/list_api_keys.sql

-- Returns a user's API keys, revoked ones too, newest first, `p_limit` at most: {keys}.
create or replace function public.list_api_keys(p_user_id uuid, p_limit integer) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  return jsonb_build_object('keys', (
    select coalesce(jsonb_agg(public.api_key_json(k) order by k.created_at desc nulls last, k.id), '[]')
      from (select * from public.api_keys where user_id = p_user_id order by created_at desc nulls last, id limit p_limit) k));
end $$;

revoke execute on function public.list_api_keys(uuid, integer) from public, anon, authenticated;
grant execute on function public.list_api_keys(uuid, integer) to service_role;

-- schemas/access/require_agent_of_key.sql

-- Raises `unauthorized` unless the API key is an active one of the user, and `agent_not_found` if it is for other agents.
create or replace function public.require_agent_of_key(p_user_id uuid, p_api_key_id uuid, p_agent_id uuid) returns void
language plpgsql stable security definer set search_path = '' as $$
declare
  v_agent_ids uuid[];
begin
  select agent_ids into v_agent_ids from public.api_keys where id = p_api_key_id and user_id = p_user_id and is_active;
  if not found then
    raise sqlstate 'PT401' using hint = 'unauthorized', message = 'The API key is unknown or no longer active.';
  end if;
  if cardinality(v_agent_ids) > 0 and p_agent_id <> all (v_agent_ids) then
    raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
  end if;
end $$;

revoke execute on function public.require_agent_of_key(uuid, uuid, uuid) from public, anon, authenticated;
grant execute on function public.require_agent_of_key(uuid, uuid, uuid) to service_role;

-- schemas/access/revoke_api_key.sql

-- Revokes an API key of a user, and returns it. The row stays, so that nobody registers its hash. Repeated, it changes nothing.
create or replace function public.revoke_api_key(p_user_id uuid, p_api_key_id uuid) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_key public.api_keys;
begin
  update public.api_keys set is_active = false where id = p_api_key_id and user_id = p_user_id returning * into v_key;
  if not found then
    raise sqlstate 'PT404' using hint = 'key_not_found', message = 'There is no such key.';
  end if;
  return public.api_key_json(v_key);
end $$;

revoke execute on function public.revoke_api_key(uuid, uuid) from public, anon, authenticated;
grant execute on function public.revoke_api_key(uuid, uuid) to service_role;

-- schemas/access/use_ticket.sql

-- Uses a ticket, and returns its caller; null if it may not be used. It is used once, and again only by a reader that reconnects to
-- the run that it was first used on, while its caller has not ended. A ticket for a run opens nothing else.
--   p_run_id    the run that is to be read; null for a WebSocket
--   p_is_again  whether the reader says which event it has, as browsers do that reconnect
create or replace function public.use_ticket(p_hash text, p_run_id uuid, p_is_again boolean) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_ticket public.access_tickets;
begin
  select * into v_ticket from public.access_tickets where hash = p_hash for update;
  if not found or public.find_ended_callers(jsonb_build_array(jsonb_strip_nulls(v_ticket.caller))) <> '[]' then
    return null;
  end if;
  if v_ticket.used_at is null then
    if v_ticket.expires_at < now() or (v_ticket.run_id is not null and v_ticket.run_id is distinct from p_run_id) then
      return null;
    end if;
  elsif not p_is_again or p_run_id is null or v_ticket.run_id is distinct from p_run_id then
    return null;
  end if;
  update public.access_tickets set used_at = now(), run_id = p_run_id where hash = p_hash;
  return v_ticket.caller;
end $$;

revoke execute on function public.use_ticket(text, uuid, boolean) from public, anon, authenticated;
grant execute on function public.use_ticket(text, uuid, boolean) to service_role;

-- schemas/administration/admin_create_user.sql

-- Makes a user on behalf of an admin where there is no Supabase Auth, which makes those of a project: {userId, email}. Raises `bad_request`,
-- also for an address that somebody has.
create or replace function public.admin_create_user(p_admin_id uuid, p_email text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_id constant uuid := gen_random_uuid();
  v_email constant text := lower(trim(p_email));
begin
  perform public.note_admin_action(p_admin_id, 'user_create', v_id);
  if to_regclass('auth.identities') is not null then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'Supabase Auth makes the users of a project: see its dashboard.';
  end if;
  if v_email !~ '^[^\s@]{1,200}@[^\s@]{1,100}$' then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'This is no e-mail address.';
  end if;
  if not exists (select from auth.users where lower(email) = v_email) then
    insert into auth.users (id, aud, role, email, created_at, updated_at) values (v_id, 'authenticated', 'authenticated', v_email, now(), now())
      on conflict do nothing;
  end if;
  -- Somebody else may have made it meanwhile.
  if not exists (select from auth.users where id = v_id) then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'There is a user with this e-mail address.';
  end if;
  return jsonb_build_object('userId', v_id, 'email', v_email);
end $$;

revoke execute on function public.admin_create_user(uuid, text) from public, anon, authenticated;
grant execute on function public.admin_create_user(uuid, text) to service_role;

-- schemas/administration/admin_delete_agent.sql

-- Deletes an agent with its functions and schedules on behalf of an admin. Its runs and the ledger stay. Raises `agent_not_found`.
create or replace function public.admin_delete_agent(p_admin_id uuid, p_agent_id uuid) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_user_id uuid;
begin
  perform public.require_admin(p_admin_id);
  delete from public.agents where id = p_agent_id returning user_id into v_user_id;
  if not found then
    raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
  end if;
  perform public.note_admin_action(p_admin_id, 'agent_delete', v_user_id, jsonb_build_object('agentId', p_agent_id));
  return jsonb_build_object('agentId', p_agent_id, 'deleted', true);
end $$;

revoke execute on function public.admin_delete_agent(uuid, uuid) from public, anon, authenticated;
grant execute on function public.admin_delete_agent(uuid, uuid) to service_role;

-- schemas/administration/admin_erase_runs.sql

-- Erases on behalf of an admin the texts of a user's runs and firings, or of an agent's, that ended more than p_days ago, at most
-- p_limit of each a call. The runs themselves and the ledger stay. Returns {erased, firings, more}: how many runs and firings, and
-- whether there may be more of them. Raises `bad_request`, `user_not_found`, `agent_not_found`.
create or replace function public.admin_erase_runs(
  p_admin_id uuid, p_user_id uuid, p_agent_id uuid, p_days numeric default 0, p_limit integer default 500
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_erased jsonb;
begin
  perform public.require_admin(p_admin_id);
  perform public.check_subject(p_user_id, p_agent_id);
  v_erased := public.erase_runs_of(p_user_id, p_agent_id, now() - make_interval(secs => p_days * 86400), p_limit);
  perform public.note_admin_action(p_admin_id, 'erase_runs', p_user_id, jsonb_build_object('agentId', p_agent_id, 'olderThanDays', p_days) || v_erased);
  return v_erased || jsonb_build_object('more', greatest((v_erased ->> 'erased')::integer, (v_erased ->> 'firings')::integer) = p_limit);
end $$;

revoke execute on function public.admin_erase_runs(uuid, uuid, uuid, numeric, integer) from public, anon, authenticated;
grant execute on function public.admin_erase_runs(uuid, uuid, uuid, numeric, integer) to service_role;

-- schemas/administration/admin_figures.sql

-- Returns, on behalf of an admin, what was run a day, and who has runs under way or waiting, the most first:
-- {days: [{day, runs, failed, tokens, credits}], users: [{userId, email, running, waiting}]}. Days are UTC's, oldest first.
--   p_days   how many days, today included
--   p_limit  how many users
create or replace function public.admin_figures(p_admin_id uuid, p_days integer, p_limit integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_today date := (now() at time zone 'utc')::date;
begin
  perform public.note_admin_action(p_admin_id, 'figures');
  return jsonb_build_object(
    'days', (
      select jsonb_agg(jsonb_build_object('day', day, 'runs', coalesce(runs, 0), 'failed', coalesce(failed, 0), 'tokens', coalesce(tokens, 0),
          'credits', coalesce(credits, 0)) order by day)
        from (select v_today - n as day from generate_series(0, p_days - 1) as numbers (n)) days
        left join (
          select (created_at at time zone 'utc')::date as day, count(*) as runs, count(*) filter (where status = 'failed') as failed,
              sum((usage ->> 'totalTokens')::numeric)::bigint as tokens, sum(credits_charged) as credits
            from public.agent_runs where created_at >= (v_today - (p_days - 1)) at time zone 'utc' group by 1) sums using (day)),
    'users', coalesce((
      select jsonb_agg(jsonb_build_object('userId', user_id, 'email', email, 'running', running, 'waiting', waiting) order by running + waiting desc, user_id)
        from (select r.user_id, u.email, count(*) filter (where r.status = 'running') as running, count(*) filter (where r.status = 'queued') as waiting
          from public.agent_runs r left join auth.users u on u.id = r.user_id
          where r.finished_at is null group by r.user_id, u.email order by count(*) desc, r.user_id limit p_limit) busy), '[]'));
end $$;

revoke execute on function public.admin_figures(uuid, integer, integer) from public, anon, authenticated;
grant execute on function public.admin_figures(uuid, integer, integer) to service_role;

-- schemas/administration/admin_get_agent.sql

-- Returns an agent with its prompt and functions on behalf of an admin: see inspected_agent. Raises `agent_not_found`.
create or replace function public.admin_get_agent(p_admin_id uuid, p_agent_id uuid) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  perform public.note_admin_action(p_admin_id, 'agent', (select user_id from public.agents where id = p_agent_id),
    jsonb_build_object('agentId', p_agent_id));
  if not exists (select from public.agents where id = p_agent_id) then
    raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
  end if;
  return public.inspected_agent(p_agent_id);
end $$;

revoke execute on function public.admin_get_agent(uuid, uuid) from public, anon, authenticated;
grant execute on function public.admin_get_agent(uuid, uuid) to service_role;

-- schemas/administration/admin_get_ledger.sql

-- Returns a user's balance and a page of the ledger on behalf of an admin: see get_ledger.
create or replace function public.admin_get_ledger(p_admin_id uuid, p_user_id uuid, p_limit integer, p_after uuid default null)
returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  perform public.note_admin_action(p_admin_id, 'ledger', p_user_id, jsonb_build_object('after', p_after));
  if not exists (select from auth.users where id = p_user_id) then
    raise sqlstate 'PT404' using hint = 'user_not_found', message = 'There is no such user.';
  end if;
  return public.get_ledger(p_user_id, p_limit, p_after);
end $$;

revoke execute on function public.admin_get_ledger(uuid, uuid, integer, uuid) from public, anon, authenticated;
grant execute on function public.admin_get_ledger(uuid, uuid, integer, uuid) to service_role;

-- schemas/administration/admin_get_run.sql

-- Returns a run on behalf of an admin: as run_json does, with its user, its model, how many processes died over it, its finished
-- steps, and why it failed: `reason` of its end, and `failures` of the gateway, try by try, which its user does not read.
create or replace function public.admin_get_run(p_admin_id uuid, p_run_id uuid) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
  v_failed public.agent_run_failures;
begin
  select * into v_run from public.agent_runs where id = p_run_id;
  perform public.note_admin_action(p_admin_id, 'run', v_run.user_id, jsonb_build_object('runId', p_run_id));
  if v_run.id is null then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  select * into v_failed from public.agent_run_failures where run_id = p_run_id;
  return public.run_json(v_run) || jsonb_build_object(
    'userId', v_run.user_id,
    'model', v_run.model,
    'crashes', v_run.crashes,
    'reason', v_failed.reason,
    'failures', coalesce(v_failed.failures, '[]'),
    'steps', public.steps_json(p_run_id));
end $$;

revoke execute on function public.admin_get_run(uuid, uuid) from public, anon, authenticated;
grant execute on function public.admin_get_run(uuid, uuid) to service_role;

-- schemas/administration/admin_grant_credits.sql

-- Gives credits to a user on behalf of an admin, or takes some. A repeated call with the same idempotency key changes nothing
-- again and returns what the first call did.
create or replace function public.admin_grant_credits(
  p_admin_id uuid, p_user_id uuid, p_credits integer, p_reason text, p_idempotency_key text default null
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_details jsonb := jsonb_build_object('credits', p_credits, 'reason', p_reason);
  v_before public.admin_actions;
  v_credits jsonb;
begin
  perform public.require_admin(p_admin_id);
  if p_idempotency_key is not null then
    -- If two requests with the same key arrive at once, the second waits here until the first has ended.
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('grant' || p_admin_id || p_idempotency_key, 0));
    select * into v_before from public.admin_actions where admin_id = p_admin_id and idempotency_key = p_idempotency_key;
    if found then
      if v_before.user_id is distinct from p_user_id or v_before.details <> v_details then
        raise sqlstate 'PT422' using hint = 'idempotency_key_reused',
          message = 'This Idempotency-Key was used before with another request.';
      end if;
      return v_before.result;
    end if;
  end if;
  v_credits := public.grant_credits(p_user_id, p_credits, p_reason, p_admin_id);
  insert into public.admin_actions (admin_id, action, user_id, details, idempotency_key, result)
    values (p_admin_id, 'grant', p_user_id, v_details, p_idempotency_key, v_credits);
  return v_credits;
end $$;

revoke execute on function public.admin_grant_credits(uuid, uuid, integer, text, text)
  from public, anon, authenticated;
grant execute on function public.admin_grant_credits(uuid, uuid, integer, text, text) to service_role;

-- schemas/administration/admin_list_actions.sql

-- Returns a page of what admins did and looked at, newest first, on behalf of an admin: {actions, next}. p_after is the `next`
-- of the page before, the number of its last action.
create or replace function public.admin_list_actions(p_admin_id uuid, p_limit integer, p_after bigint default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  perform public.note_admin_action(p_admin_id, 'actions', null, jsonb_build_object('after', p_after));
  return (with page as (
    select a.*, row_number() over (order by a.id desc) as n from public.admin_actions a
      where p_after is null or a.id < p_after order by a.id desc limit p_limit + 1
  )
  select jsonb_build_object(
    'actions', coalesce((select jsonb_agg(jsonb_build_object('id', page.id, 'adminId', page.admin_id, 'adminEmail', m.email, 'action', page.action,
        'userId', page.user_id, 'userEmail', u.email, 'details', page.details, 'createdAt', public.iso_time(page.created_at)) order by n)
      from page left join auth.users m on m.id = page.admin_id left join auth.users u on u.id = page.user_id where n <= p_limit), '[]'),
    'next', (select id from page where n = p_limit and exists (select from page where n > p_limit))));
end $$;

revoke execute on function public.admin_list_actions(uuid, integer, bigint) from public, anon, authenticated;
grant execute on function public.admin_list_actions(uuid, integer, bigint) to service_role;

-- schemas/administration/admin_list_agents.sql

-- Returns a page of everybody's agents, or of one user's, on behalf of an admin, newest first: {agents, next}.
--   p_published  only such as are published, or only such as are not; null for all
--   p_name       what their names have in them, in any case; null for all
--   p_after      the `next` of the page before, the id of its last agent
create or replace function public.admin_list_agents(
  p_admin_id uuid, p_limit integer, p_user_id uuid default null, p_published boolean default null, p_name text default null, p_after uuid default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_after timestamptz;
begin
  perform public.note_admin_action(p_admin_id, 'agents', p_user_id, jsonb_build_object('published', p_published, 'name', p_name, 'after', p_after));
  select coalesce(created_at, '-infinity') into v_after from public.agents where id = p_after;
  if p_after is not null and not found then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'The cursor is none that this service has given out.';
  end if;
  return (with page as (
    select a.id, row_number() over (order by coalesce(a.created_at, '-infinity') desc, a.id desc) as n from public.agents a
      where (p_user_id is null or a.user_id = p_user_id)
        and (p_published is null or coalesce(a.is_published, false) = p_published)
        and (p_name is null or strpos(lower(a.name), lower(p_name)) > 0)
        and (p_after is null or (coalesce(a.created_at, '-infinity'), a.id) < (v_after, p_after))
      order by coalesce(a.created_at, '-infinity') desc, a.id desc
      limit p_limit + 1
  )
  select jsonb_build_object(
    'agents', coalesce((select jsonb_agg(public.agent_json(a) order by n) from page join public.agents a using (id) where n <= p_limit), '[]'),
    'next', (select id from page where n = p_limit and exists (select from page where n > p_limit))));
end $$;

revoke execute on function public.admin_list_agents(uuid, integer, uuid, boolean, text, uuid) from public, anon, authenticated;
grant execute on function public.admin_list_agents(uuid, integer, uuid, boolean, text, uuid) to service_role;

-- schemas/administration/admin_list_railway_urls.sql

-- Returns {requests, total} on behalf of an admin: agents whose owners ask for another railway_url, those that have waited
-- longest first, `p_limit` of the total.
create or replace function public.admin_list_railway_urls(p_admin_id uuid, p_limit integer default 100) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  perform public.note_admin_action(p_admin_id, 'railway_urls');
  return jsonb_build_object(
    'total', (select count(*) from public.agents where railway_url_requested is not null and length(railway_url_requested) <= 2000),
    'requests', coalesce((
      select jsonb_agg(jsonb_build_object('agentId', a.id, 'agentName', left(a.name, 1000), 'userId', a.user_id,
          'railwayUrl', left(a.railway_url, 2000), 'requestedUrl', a.railway_url_requested,
          'requestedAt', public.iso_time(a.railway_url_requested_at)) order by a.railway_url_requested_at, a.id)
        from (select * from public.agents where railway_url_requested is not null and length(railway_url_requested) <= 2000
          order by railway_url_requested_at, id limit p_limit) a), '[]'));
end $$;

revoke execute on function public.admin_list_railway_urls(uuid, integer) from public, anon, authenticated;
grant execute on function public.admin_list_railway_urls(uuid, integer) to service_role;

-- schemas/administration/admin_list_retention.sql

-- Returns a page of the periods of users and agents, newest first, on behalf of an admin: {periods: [{id, userId, userEmail, agentId,
-- agentName, days, updatedAt}], next}. p_after is the `next` of the page before, the id of its last period.
create or replace function public.admin_list_retention(p_admin_id uuid, p_limit integer, p_after bigint default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  perform public.note_admin_action(p_admin_id, 'retention', null, jsonb_build_object('after', p_after));
  return (with page as (
    select p.*, row_number() over (order by p.id desc) as n from public.retention_periods p
      where p_after is null or p.id < p_after order by p.id desc limit p_limit + 1
  )
  select jsonb_build_object(
    'periods', coalesce((select jsonb_agg(jsonb_build_object('id', page.id, 'userId', page.user_id, 'userEmail', u.email, 'agentId', page.agent_id,
        'agentName', left(a.name, 200), 'days', page.days, 'updatedAt', public.iso_time(page.updated_at)) order by n)
      from page left join auth.users u on u.id = page.user_id left join public.agents a on a.id = page.agent_id where n <= p_limit), '[]'),
    'next', (select id from page where n = p_limit and exists (select from page where n > p_limit))));
end $$;

revoke execute on function public.admin_list_retention(uuid, integer, bigint) from public, anon, authenticated;
grant execute on function public.admin_list_retention(uuid, integer, bigint) to service_role;

-- schemas/administration/admin_list_runs.sql

-- Returns a page of everybody's runs, or of one user's, on behalf of an admin: see page_of_runs. A run has the `reason` for
-- which it failed, which its user does not read.
create or replace function public.admin_list_runs(
  p_admin_id uuid,
  p_limit integer,
  p_user_id uuid default null,
  p_status text default null,
  p_agent_id uuid default null,
  p_after uuid default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_page jsonb;
begin
  perform public.note_admin_action(p_admin_id, 'runs', p_user_id,
    jsonb_build_object('status', p_status, 'agentId', p_agent_id, 'after', p_after));
  v_page := public.page_of_runs(p_user_id, p_limit, p_status, p_agent_id, p_after);
  return v_page || jsonb_build_object('runs', (
    select coalesce(jsonb_agg(r || jsonb_build_object('reason', f.reason) order by n), '[]')
      from jsonb_array_elements(v_page -> 'runs') with ordinality as page (r, n)
        left join public.agent_run_failures f on f.run_id = (r ->> 'runId')::uuid));
end $$;

revoke execute on function public.admin_list_runs(uuid, integer, uuid, text, uuid, uuid)
  from public, anon, authenticated;
grant execute on function public.admin_list_runs(uuid, integer, uuid, text, uuid, uuid) to service_role;

-- schemas/administration/admin_list_users.sql

-- Returns a page of users with their balances on behalf of an admin, newest first: {users, next}.
--   p_email  how their addresses begin, in any case; null for all
--   p_after  the `next` of the page before, the id of its last user
create or replace function public.admin_list_users(p_admin_id uuid, p_limit integer, p_email text default null, p_after uuid default null)
returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_after timestamptz;
begin
  perform public.note_admin_action(p_admin_id, 'users', null, jsonb_build_object('email', p_email, 'after', p_after));
  select coalesce(created_at, '-infinity') into v_after from auth.users where id = p_after;
  if p_after is not null and not found then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'The cursor is none that this service has given out.';
  end if;
  return (with page as (
    select u.id, u.email, u.created_at, row_number() over (order by coalesce(u.created_at, '-infinity') desc, u.id desc) as n from auth.users u
      where (p_email is null or starts_with(lower(u.email), lower(p_email)))
        and (p_after is null or (coalesce(u.created_at, '-infinity'), u.id) < (v_after, p_after))
      order by coalesce(u.created_at, '-infinity') desc, u.id desc
      limit p_limit + 1
  )
  select jsonb_build_object(
    'users', coalesce((select jsonb_agg(jsonb_build_object('userId', id, 'email', email, 'createdAt', public.iso_time(created_at),
        'isAdmin', exists (select from public.user_roles r where r.user_id = page.id and r.role = 'admin'),
        'credits', public.get_credits(id)) order by n) from page where n <= p_limit), '[]'),
    'next', (select id from page where n = p_limit and exists (select from page where n > p_limit))));
end $$;

revoke execute on function public.admin_list_users(uuid, integer, text, uuid) from public, anon, authenticated;
grant execute on function public.admin_list_users(uuid, integer, text, uuid) to service_role;

-- schemas/administration/admin_note_miss.sql

-- Records what an admin has asked for in vain: the call that found nothing was rolled back, and its own record with it.
--   p_error  the code with which it was refused
create or replace function public.admin_note_miss(p_admin_id uuid, p_action text, p_error text, p_user_id uuid default null, p_details jsonb default '{}')
returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  perform public.note_admin_action(p_admin_id, p_action, p_user_id, p_details || jsonb_build_object('error', p_error));
  return '{"noted": true}';
end $$;

revoke execute on function public.admin_note_miss(uuid, text, text, uuid, jsonb) from public, anon, authenticated;
grant execute on function public.admin_note_miss(uuid, text, text, uuid, jsonb) to service_role;

-- schemas/administration/admin_open_run.sql

-- Says on behalf of an admin whose a run is: {userId}. As that user's the run can be followed or cancelled.
--   p_action  what the admin is about to do, which is recorded
create or replace function public.admin_open_run(p_admin_id uuid, p_run_id uuid, p_action text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_user_id uuid := (select user_id from public.agent_runs where id = p_run_id);
begin
  perform public.note_admin_action(p_admin_id, p_action, v_user_id, jsonb_build_object('runId', p_run_id));
  if v_user_id is null then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  return jsonb_build_object('userId', v_user_id);
end $$;

revoke execute on function public.admin_open_run(uuid, uuid, text) from public, anon, authenticated;
grant execute on function public.admin_open_run(uuid, uuid, text) to service_role;

-- schemas/administration/admin_save_agent.sql

-- Makes an agent on behalf of an admin, or changes one. Returns it as inspected_agent does. The record has the names of what was
-- written, and no texts: it is kept for ever. Raises `user_not_found`, `agent_not_found`, `bad_request`.
--   p_agent_id  null makes one
--   p_values    {userId (of a new one), name, description, systemPrompt, model, temperature, maxTokens, maxSteps, executor, entrypoint,
--               isPublished, isHeavy, functions}: what is missing stays as it is. `functions` replaces all that the agent has:
--               [{name, description, type, triggerKeywords, config, isEnabled}], in the order in which they run
create or replace function public.admin_save_agent(p_admin_id uuid, p_agent_id uuid, p_values jsonb) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_id uuid := coalesce(p_agent_id, gen_random_uuid());
  v_user_id uuid;
begin
  perform public.require_admin(p_admin_id);
  if p_agent_id is null then
    select id into v_user_id from auth.users where id = (p_values ->> 'userId')::uuid;
    if not found then
      raise sqlstate 'PT404' using hint = 'user_not_found', message = 'There is no such user.';
    end if;
    -- Without a model, a temperature and a limit of tokens, so that the service's own defaults apply.
    insert into public.agents (id, user_id, name, purpose, status, ai_model, temperature, max_tokens)
      values (v_id, v_user_id, p_values ->> 'name', coalesce(p_values ->> 'description', p_values ->> 'name'),
        case when (p_values ->> 'isPublished')::boolean then 'active' else 'draft' end, null, null, null);
  else
    select user_id into v_user_id from public.agents where id = v_id for update;
    if not found then
      raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
    end if;
  end if;
  perform public.note_admin_action(p_admin_id, case when p_agent_id is null then 'agent_create' else 'agent_edit' end, v_user_id,
    jsonb_build_object('agentId', v_id, 'fields', (select jsonb_agg(key order by key) from jsonb_object_keys(p_values) as keys (key))));
  update public.agents set
      name = case when p_values ? 'name' then p_values ->> 'name' else name end,
      description = case when p_values ? 'description' then p_values ->> 'description' else description end,
      system_prompt = case when p_values ? 'systemPrompt' then p_values ->> 'systemPrompt' else system_prompt end,
      ai_model = case when p_values ? 'model' then p_values ->> 'model' else ai_model end,
      temperature = case when p_values ? 'temperature' then (p_values ->> 'temperature')::numeric else temperature end,
      max_tokens = case when p_values ? 'maxTokens' then (p_values ->> 'maxTokens')::integer else max_tokens end,
      max_steps = case when p_values ? 'maxSteps' then (p_values ->> 'maxSteps')::integer else max_steps end,
      executor = case when p_values ? 'executor' then p_values ->> 'executor' else executor end,
      entrypoint = case when p_values ? 'entrypoint' then p_values ->> 'entrypoint' else entrypoint end,
      is_published = case when p_values ? 'isPublished' then (p_values ->> 'isPublished')::boolean else is_published end,
      is_heavy = case when p_values ? 'isHeavy' then (p_values ->> 'isHeavy')::boolean else is_heavy end,
      updated_at = now()
    where id = v_id;
  if (select executor = 'python' and coalesce(entrypoint, '') = '' from public.agents where id = v_id) then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'An agent in Python needs an entrypoint: package.module:function.';
  end if;
  if p_values ? 'functions' then
    delete from public.agent_functions where agent_id = v_id;
    insert into public.agent_functions (agent_id, name, description, function_type, trigger_keywords, config, is_enabled, execution_order)
      select v_id, f ->> 'name', f ->> 'description', f ->> 'type',
          array(select jsonb_array_elements_text(coalesce(f -> 'triggerKeywords', '[]'))), coalesce(f -> 'config', '{}'),
          coalesce((f ->> 'isEnabled')::boolean, true), n
        from jsonb_array_elements(p_values -> 'functions') with ordinality as functions (f, n);
  end if;
  return public.inspected_agent(v_id);
end $$;

revoke execute on function public.admin_save_agent(uuid, uuid, jsonb) from public, anon, authenticated;
grant execute on function public.admin_save_agent(uuid, uuid, jsonb) to service_role;

-- schemas/administration/admin_set_heavy.sql

-- Sets, on behalf of an admin, whether the edge function hands an agent to the service: {agentId, isHeavy}. Raises `agent_not_found`.
create or replace function public.admin_set_heavy(p_admin_id uuid, p_agent_id uuid, p_heavy boolean) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_user_id uuid;
begin
  perform public.require_admin(p_admin_id);
  update public.agents set is_heavy = p_heavy where id = p_agent_id returning user_id into v_user_id;
  if not found then
    raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
  end if;
  perform public.note_admin_action(p_admin_id, 'heavy', v_user_id, jsonb_build_object('agentId', p_agent_id, 'heavy', p_heavy));
  return jsonb_build_object('agentId', p_agent_id, 'isHeavy', p_heavy);
end $$;

revoke execute on function public.admin_set_heavy(uuid, uuid, boolean) from public, anon, authenticated;
grant execute on function public.admin_set_heavy(uuid, uuid, boolean) to service_role;

-- schemas/administration/admin_set_retention.sql

-- Sets on behalf of an admin for how many days the texts of a user's runs are kept after their end, or those of an agent's; null: as long
-- as those of all. Returns {userId, agentId, days}. Raises `bad_request`, `user_not_found`, `agent_not_found`.
create or replace function public.admin_set_retention(p_admin_id uuid, p_user_id uuid, p_agent_id uuid, p_days numeric) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  -- Each is looked at every hour.
  v_max constant integer := 1000;
begin
  perform public.note_admin_action(p_admin_id, 'set_retention', p_user_id, jsonb_build_object('agentId', p_agent_id, 'days', coalesce(to_jsonb(p_days), to_jsonb('default'::text))));
  perform public.check_subject(p_user_id, p_agent_id);
  if p_days is null then
    delete from public.retention_periods where user_id = p_user_id or agent_id = p_agent_id;
    return jsonb_build_object('userId', p_user_id, 'agentId', p_agent_id, 'days', null);
  end if;
  if p_days not between 0 and 36500 then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'A period has from 0 to 36500 days.';
  end if;
  lock table public.retention_periods in share row exclusive mode;
  update public.retention_periods set days = p_days, updated_at = now() where user_id = p_user_id or agent_id = p_agent_id;
  if not found then
    if (select count(*) from public.retention_periods) >= v_max then
      raise sqlstate 'PT400' using hint = 'bad_request', message = 'There are as many periods as there may be: 1000.';
    end if;
    insert into public.retention_periods (user_id, agent_id, days) values (p_user_id, p_agent_id, p_days);
  end if;
  return jsonb_build_object('userId', p_user_id, 'agentId', p_agent_id, 'days', p_days);
end $$;

revoke execute on function public.admin_set_retention(uuid, uuid, uuid, numeric) from public, anon, authenticated;
grant execute on function public.admin_set_retention(uuid, uuid, uuid, numeric) to service_role;

-- schemas/administration/admin_settle_railway_url.sql

-- Approves or refuses, on behalf of an admin, the railway_url that an agent's owner asks for. Repeated, it changes nothing.
--   p_url  what the admin has looked at; if the owner asks for something else by now, nothing is approved
create or replace function public.admin_settle_railway_url(p_admin_id uuid, p_agent_id uuid, p_url text, p_approve boolean)
returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_user_id uuid;
  v_url text;
  v_requested text;
begin
  perform public.require_admin(p_admin_id);
  select user_id, railway_url, railway_url_requested into v_user_id, v_url, v_requested
    from public.agents where id = p_agent_id for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
  end if;
  if v_requested is null and p_approve = (v_url is not distinct from p_url) then
    return jsonb_build_object('agentId', p_agent_id, 'railwayUrl', v_url);
  end if;
  if v_requested is distinct from p_url then
    raise sqlstate 'PT409' using hint = 'railway_url_changed',
      message = 'The owner of this agent does not ask for that address, or no longer: look again.';
  end if;
  perform public.note_admin_action(p_admin_id, 'railway_url', v_user_id,
    jsonb_build_object('agentId', p_agent_id, 'url', p_url, 'approved', p_approve));
  update public.agents
    set railway_url = case when p_approve then p_url else railway_url end, railway_url_requested = null
    where id = p_agent_id
    returning railway_url into v_url;
  return jsonb_build_object('agentId', p_agent_id, 'railwayUrl', v_url);
end $$;

revoke execute on function public.admin_settle_railway_url(uuid, uuid, text, boolean) from public, anon, authenticated;
grant execute on function public.admin_settle_railway_url(uuid, uuid, text, boolean) to service_role;

-- schemas/administration/admin_watch_runs.sql

-- Returns on behalf of an admin the runs that have begun, started or ended since a time, the earliest first: {runs, until}. The next
-- call takes `until` as its p_since: it is a little earlier than now, since transactions become visible later than they begin, so a
-- run may come twice. Without p_since there are no runs: a watch begins. It is recorded once, as is a look further back than a minute.
create or replace function public.admin_watch_runs(p_admin_id uuid, p_since timestamptz default null, p_limit integer default 100) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_until timestamptz := clock_timestamp() - interval '2 seconds';
  v_runs jsonb;
  v_count integer;
  v_last timestamptz;
begin
  if coalesce(p_since < now() - interval '1 minute', true) then
    perform public.note_admin_action(p_admin_id, 'watch_runs', null, jsonb_build_object('since', public.iso_time(p_since)));
  else
    perform public.require_admin(p_admin_id);
  end if;
  select jsonb_agg(public.run_summary(id)
      || jsonb_build_object('reason', (select reason from public.agent_run_failures f where f.run_id = page.id)) order by changed_at, id), count(*), max(changed_at) into v_runs, v_count, v_last from (
    select id, max(changed_at) as changed_at from (
      select id, created_at as changed_at from public.agent_runs where created_at > p_since
      union all select id, started_at from public.agent_runs where finished_at is null and started_at > p_since
      union all select id, finished_at from public.agent_runs where not erased and finished_at > p_since) as changes
      group by id order by max(changed_at), id limit p_limit) as page;
  -- Of a full page the rest is in the next one.
  if v_count = p_limit then
    v_until := least(v_until, v_last - interval '1 microsecond');
  end if;
  return jsonb_build_object('runs', coalesce(v_runs, '[]'), 'until', to_char(v_until at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'));
end $$;

revoke execute on function public.admin_watch_runs(uuid, timestamp with time zone, integer) from public, anon, authenticated;
grant execute on function public.admin_watch_runs(uuid, timestamp with time zone, integer) to service_role;

-- schemas/administration/agent_json.sql

-- Returns an agent as admins see it, without its prompt, its knowledge and its functions; what is longer than authors may write is cut,
-- and a temperature that is no number of JSON is none.
create or replace function public.agent_json(p_agent public.agents) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  return jsonb_build_object('agentId', p_agent.id, 'userId', p_agent.user_id, 'email', (select email from auth.users where id = p_agent.user_id), 'name', left(p_agent.name, 1000), 'description', left(p_agent.description, 10000),
    'model', left(p_agent.ai_model, 200), 'temperature', case when p_agent.temperature between -1000 and 1000 then p_agent.temperature end, 'maxTokens', p_agent.max_tokens, 'maxSteps', p_agent.max_steps,
    'executor', p_agent.executor, 'entrypoint', p_agent.entrypoint,
    'isPublished', coalesce(p_agent.is_published, false), 'isHeavy', coalesce(p_agent.is_heavy, false), 'railwayUrl', left(p_agent.railway_url, 2000),
    'createdAt', public.iso_time(p_agent.created_at), 'updatedAt', public.iso_time(p_agent.updated_at));
end $$;

revoke execute on function public.agent_json(public.agents) from public, anon, authenticated;
grant execute on function public.agent_json(public.agents) to service_role;

-- schemas/administration/check_subject.sql

-- Whether either a user or an agent is named that there is, or, of an agent that is deleted by now, whose runs are left.
-- Raises `bad_request`, `user_not_found`, `agent_not_found`.
create or replace function public.check_subject(p_user_id uuid, p_agent_id uuid) returns void
language plpgsql security definer set search_path = '' as $$
begin
  if (p_user_id is null) = (p_agent_id is null) then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'Name a user or an agent, and not both.';
  end if;
  if p_user_id is not null and not exists (select from auth.users where id = p_user_id) then
    raise sqlstate 'PT404' using hint = 'user_not_found', message = 'There is no such user.';
  end if;
  if p_agent_id is not null and not exists (select from public.agents where id = p_agent_id)
    and not exists (select from public.agent_runs where agent_id = p_agent_id)
  then
    raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
  end if;
end $$;

revoke execute on function public.check_subject(uuid, uuid) from public, anon, authenticated;
grant execute on function public.check_subject(uuid, uuid) to service_role;

-- schemas/administration/get_admin_stats.sql

-- Returns the platform's figures to a signed-in admin, and to the service role, whose auth.uid() is null; to everybody else no
-- row. The platform's admin page calls it by this name.
create or replace function public.get_admin_stats() returns table (
  total_users bigint, total_agents bigint, agents_this_week bigint, agents_this_month bigint, active_users bigint,
  total_credits_used bigint, credits_used_this_week bigint, pro_subscribers bigint, expert_subscribers bigint)
language plpgsql stable security definer set search_path = '' as $$
begin
  if coalesce(auth.role(), '') = 'service_role' or coalesce(public.has_role(auth.uid(), 'admin'), false) then
    return query select * from public.platform_stats();
  end if;
end $$;

revoke execute on function public.get_admin_stats() from public, anon, authenticated;
grant execute on function public.get_admin_stats() to authenticated, service_role;

-- schemas/administration/inspected_agent.sql

-- Returns an agent as agent_json does, with its prompt and its functions in the order in which they run: as many of these as have 2 MB
-- together, the first in any case, for an answer is written in one turn of an event loop.
create or replace function public.inspected_agent(p_agent_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  return (select public.agent_json(a) || jsonb_build_object('systemPrompt', left(a.system_prompt, 200001), 'functions', coalesce((
      select jsonb_agg(content order by n) from (
        select content, n, sum(octet_length(content::text)) over (order by n) as bytes from (
          select jsonb_build_object('functionId', f.id, 'name', left(f.name, 201), 'description', left(f.description, 4001), 'type', left(f.function_type::text, 101),
              'triggerKeywords', coalesce(to_jsonb(f.trigger_keywords), '[]'), 'config', coalesce(f.config, '{}'),
              'isEnabled', coalesce(f.is_enabled, true)) as content,
              row_number() over (order by f.execution_order, f.created_at, f.id) as n
            from public.agent_functions f where f.agent_id = a.id) r) summed
        where n = 1 or bytes <= 2000000), '[]'))
    from public.agents a where a.id = p_agent_id);
end $$;

revoke execute on function public.inspected_agent(uuid) from public, anon, authenticated;
grant execute on function public.inspected_agent(uuid) to service_role;

-- schemas/administration/platform_stats.sql

-- Returns the platform's figures, for get_admin_stats and admin_stats, which check who asks. `active_users` are all who ever
-- used credits.
create or replace function public.platform_stats() returns table (
  total_users bigint, total_agents bigint, agents_this_week bigint, agents_this_month bigint, active_users bigint,
  total_credits_used bigint, credits_used_this_week bigint, pro_subscribers bigint, expert_subscribers bigint)
language sql stable security definer set search_path = '' as $$
  select
    (select count(*) from auth.users),
    (select count(*) from public.agents),
    (select count(*) from public.agents where created_at >= now() - interval '7 days'),
    (select count(*) from public.agents where created_at >= now() - interval '30 days'),
    (select count(distinct user_id) from public.credit_usage),
    (select coalesce(sum(credits_used), 0)::bigint from public.credit_usage),
    (select coalesce(sum(credits_used), 0)::bigint from public.credit_usage where created_at >= now() - interval '7 days'),
    (select count(*) from public.credit_balances where plan_type = 'pro'),
    (select count(*) from public.credit_balances where plan_type = 'expert')
$$;

revoke execute on function public.platform_stats() from public, anon, authenticated;
grant execute on function public.platform_stats() to service_role;

-- schemas/administration/require_admin.sql

-- Raises `forbidden` unless the user is an admin. For functions that take the user on whose behalf they are called. The operator,
-- who has the service's own key or its data directory, acts by commands under an id that is no user's.
create or replace function public.require_admin(p_admin_id uuid) returns void
language plpgsql stable security definer set search_path = '' as $$
begin
  if p_admin_id = '00000000-0000-0000-0000-000000000000' and not exists (select from auth.users where id = p_admin_id) then
    return;
  end if;
  if not exists (select from public.user_roles where user_id = p_admin_id and role = 'admin') then
    raise sqlstate 'PT403' using hint = 'forbidden', message = 'This is for admins.';
  end if;
end $$;

revoke execute on function public.require_admin(uuid) from public, anon, authenticated;
grant execute on function public.require_admin(uuid) to service_role;

-- schemas/agents/bound_agent.sql

-- Refuses texts of an agent that are larger than authors may write, where they change: a row that was larger before can
-- still be saved. The service has the same limits in supabase/functions/_shared/bounds/author-limits.ts.
create or replace function public.bound_agent() returns trigger
language plpgsql set search_path = '' as $$
declare
  v_before jsonb := to_jsonb(old);
  v_after jsonb := to_jsonb(new);
begin
  if tg_op = 'INSERT' then
    -- An insert may turn out to be an upsert of a row that exists.
    select to_jsonb(a) into v_before from public.agents a where a.id = new.id;
  end if;
  if v_after -> 'name' is distinct from v_before -> 'name' then
    perform public.refuse_beyond('name', v_after ->> 'name', 1000);
  end if;
  if v_after -> 'description' is distinct from v_before -> 'description' then
    perform public.refuse_beyond('description', v_after ->> 'description', 10000);
  end if;
  if v_after -> 'ai_model' is distinct from v_before -> 'ai_model' then
    perform public.refuse_beyond('ai_model', v_after ->> 'ai_model', 200);
  end if;
  if v_after -> 'system_prompt' is distinct from v_before -> 'system_prompt' then
    perform public.refuse_beyond('system_prompt', v_after ->> 'system_prompt', 200000);
  end if;
  if v_after -> 'knowledge_base' is distinct from v_before -> 'knowledge_base' then
    perform public.refuse_beyond('knowledge_base', v_after ->> 'knowledge_base', 1000000);
  end if;
  return new;
end $$;

create or replace trigger bound_agent before insert or update on public.agents for each row
  execute function public.bound_agent();

revoke execute on function public.bound_agent() from public, anon, authenticated;

-- schemas/agents/bound_function.sql

-- Refuses functions beyond the number that an agent may have, and what is larger in one than authors may write, where it
-- changes: a row that was larger before can still be saved. The service has the same limits in
-- supabase/functions/_shared/bounds/author-limits.ts.
create or replace function public.bound_function() returns trigger
language plpgsql set search_path = '' as $$
declare
  v_before jsonb := to_jsonb(old);
  v_after jsonb := to_jsonb(new);
begin
  if tg_op = 'INSERT' then
    -- An insert may turn out to be an upsert of a row that exists.
    select to_jsonb(f) into v_before from public.agent_functions f where f.id = new.id;
  end if;
  -- Two transactions at once may each add the last one: what is beyond the limit is not read.
  if v_after -> 'agent_id' is distinct from v_before -> 'agent_id'
    and (select count(*) from (select from public.agent_functions where agent_id = new.agent_id limit 100) f) >= 100
  then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'An agent has 100 functions at the most.';
  end if;
  if v_after -> 'name' is distinct from v_before -> 'name' then
    perform public.refuse_beyond('name', v_after ->> 'name', 200);
  end if;
  if v_after -> 'function_type' is distinct from v_before -> 'function_type' then
    perform public.refuse_beyond('function_type', v_after ->> 'function_type', 100);
  end if;
  if v_after -> 'description' is distinct from v_before -> 'description' then
    perform public.refuse_beyond('description', v_after ->> 'description', 4000);
  end if;
  if v_after -> 'trigger_keywords' is distinct from v_before -> 'trigger_keywords' then
    perform public.refuse_words('trigger_keywords', new.trigger_keywords);
  end if;
  if v_after -> 'config' is distinct from v_before -> 'config' then
    perform public.refuse_beyond('config', v_after ->> 'config', 200000);
    perform public.refuse_beyond('parameters in config', v_after #>> '{config,parameters}', 64000);
    if jsonb_typeof(v_after #> '{config,condition_keyword}') = 'string' then
      perform public.refuse_words('condition_keyword in config', string_to_array(v_after #>> '{config,condition_keyword}', ','));
    elsif jsonb_typeof(v_after #> '{config,condition_keyword}') = 'array' then
      perform public.refuse_words('condition_keyword in config', array(select jsonb_array_elements_text(v_after #> '{config,condition_keyword}')));
    end if;
  end if;
  return new;
end $$;

create or replace trigger bound_function before insert or update on public.agent_functions for each row
  execute function public.bound_function();

revoke execute on function public.bound_function() from public, anon, authenticated;

-- schemas/agents/cut_knowledge.sql

-- Keeps what a run gets of knowledge that is larger than its author may write. A migration calls it, for rows from before the limit.
create or replace function public.cut_knowledge() returns void
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

-- schemas/agents/first_entries.sql

-- Returns the first entries of a JSON array, without a look at the others.
create or replace function public.first_entries(p_array jsonb, p_count integer) returns jsonb
language sql immutable set search_path = '' as $$
  select case when p_count = 0 then '[]' else jsonb_path_query_array(p_array, '$[0 to $last]', jsonb_build_object('last', p_count - 1)) end
$$;

revoke execute on function public.first_entries(jsonb, integer) from public, anon, authenticated;
grant execute on function public.first_entries(jsonb, integer) to service_role;

-- schemas/agents/fit_knowledge.sql

-- Returns an agent's knowledge without most of what is beyond the limit of its author (1,000,000 bytes as JSON): the entries up to
-- the first that does not fit, of which a text has its first 1,000,000 characters. Rows from before the limit may have any size,
-- and each run would read, write and send them whole. supabase/functions/_shared/bounds/fit-agent.ts cuts the rest, and says so.
--   p_knowledge  in memory, as to_jsonb returns it: of a value in its table each look at an entry would decompress the whole
create or replace function public.fit_knowledge(p_knowledge jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  v_all jsonb := p_knowledge;
  -- So many entries fit, and so many do not.
  v_within integer := 0;
  v_beyond integer := 1;
  v_entry jsonb;
begin
  if p_knowledge is null or public.fits_knowledge(p_knowledge) then
    return p_knowledge;
  end if;
  if jsonb_typeof(v_all) <> 'array' then
    v_all := jsonb_build_array(v_all);
  end if;
  while v_beyond < jsonb_array_length(v_all) and public.fits_knowledge(public.first_entries(v_all, v_beyond)) loop
    v_within := v_beyond;
    v_beyond := v_beyond * 2;
  end loop;
  v_beyond := least(v_beyond, jsonb_array_length(v_all));
  while v_beyond - v_within > 1 loop
    if public.fits_knowledge(public.first_entries(v_all, (v_within + v_beyond) / 2)) then
      v_within := (v_within + v_beyond) / 2;
    else
      v_beyond := (v_within + v_beyond) / 2;
    end if;
  end loop;
  v_entry := v_all -> v_within;
  return public.first_entries(v_all, v_within) || jsonb_build_array(
    left(case jsonb_typeof(v_entry) when 'string' then v_entry #>> '{}' else v_entry ->> 'content' end, 1000000));
end $$;

revoke execute on function public.fit_knowledge(jsonb) from public, anon, authenticated;
grant execute on function public.fit_knowledge(jsonb) to service_role;

-- schemas/agents/fits_knowledge.sql

-- Whether a value in memory has 1,000,000 bytes of JSON at the most. The text is made where its size is in doubt alone: no value
-- is six times as long in memory as its text, and no text six times as long as its value.
create or replace function public.fits_knowledge(p_value jsonb) returns boolean
language sql immutable set search_path = '' as $$
  select case
    when pg_column_size(p_value) <= 160000 then true
    when pg_column_size(p_value) > 8000000 then false
    else octet_length(p_value::text) <= 1000000 end
$$;

revoke execute on function public.fits_knowledge(jsonb) from public, anon, authenticated;
grant execute on function public.fits_knowledge(jsonb) to service_role;

-- schemas/agents/forget_knowledge_cut.sql

-- Forgets what was cut of an agent's knowledge when that changes: what is written now is within the limit.
create or replace function public.forget_knowledge_cut() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if exists (select from public.agent_knowledge_cuts where agent_id = new.id) then
    -- Of whole rows: a column in an expression would bind the session's plan to its type, which the platform may change.
    if to_jsonb(old) -> 'knowledge_base' is distinct from to_jsonb(new) -> 'knowledge_base' then
      delete from public.agent_knowledge_cuts where agent_id = new.id;
    end if;
  end if;
  return null;
end $$;

create or replace trigger forget_knowledge_cut after update on public.agents for each row
  execute function public.forget_knowledge_cut();

revoke execute on function public.forget_knowledge_cut() from public, anon, authenticated;

-- schemas/agents/get_agent.sql

-- Returns an agent that the user, or their API key, may run, and where it runs. The edge function asks for it.
create or replace function public.get_agent(p_user_id uuid, p_agent_id uuid, p_api_key_id uuid default null) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_agent public.agents;
begin
  if p_api_key_id is not null then
    perform public.require_agent_of_key(p_user_id, p_api_key_id, p_agent_id);
  end if;
  select * into v_agent from public.agents
    where id = p_agent_id and (is_published or (user_id = p_user_id and p_api_key_id is null));
  if not found then
    raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
  end if;
  return jsonb_build_object(
    'agentId', v_agent.id, 'name', left(v_agent.name, 1001), 'systemPrompt', left(v_agent.system_prompt, 200001), 'model', left(v_agent.ai_model, 201),
    'temperature', case when v_agent.temperature between -1000 and 1000 then v_agent.temperature end, 'maxTokens', case when v_agent.max_tokens > 0 then v_agent.max_tokens end,
    'knowledgeBase', coalesce((select c.knowledge from public.agent_knowledge_cuts c where c.agent_id = v_agent.id), public.fit_knowledge(to_jsonb(v_agent.knowledge_base))),
    'executor', v_agent.executor, 'isHeavy', coalesce(v_agent.is_heavy, false), 'railwayUrl', v_agent.railway_url,
    'railwayUrlWaits', v_agent.railway_url_requested is not null,
    'hasFunctions', exists (select from public.agent_functions f where f.agent_id = p_agent_id and coalesce(f.is_enabled, true)),
    -- Whether it has functions that only the service runs: of other types, or such as the model calls.
    'needsService', exists (
      select from public.agent_functions f
        where f.agent_id = p_agent_id and coalesce(f.is_enabled, true)
          and (f.function_type not in ('conditional', 'data_transform', 'webhook') or coalesce(f.config ->> 'parameters', '') <> '')),
    -- Whether some of them are more than of unknown types: these may be misspelt, or newer than the edge function.
    'requiresService', exists (
      select from public.agent_functions f
        where f.agent_id = p_agent_id and coalesce(f.is_enabled, true)
          and (f.function_type in ('api_call', 'python', 'mcp') or coalesce(f.config ->> 'parameters', '') <> '')));
end $$;

revoke execute on function public.get_agent(uuid, uuid, uuid) from public, anon, authenticated;
grant execute on function public.get_agent(uuid, uuid, uuid) to service_role;

-- schemas/agents/guard_agent_executor.sql

-- Keeps users from setting where an agent runs or what runs it; only admins and the service do. The edge function sends
-- its secret to `railway_url`, and `entrypoint` names code that the service runs.
--
-- Another `railway_url` is not refused, since a page that saves all columns of an agent would lose the others with it: it
-- is kept as a wish in `railway_url_requested` until an admin sets `railway_url`, and `railway_url` stays as it was. The
-- value that the row has may be saved by anybody who may write the row, and leaves the wish alone, as does a blank where
-- there is none: that is what such a page saves while the wish waits. A blank in place of an address clears both. What is longer than
-- admins are shown is no wish.
create or replace function public.guard_agent_executor() returns trigger
language plpgsql set search_path = '' as $$
declare
  v_before jsonb := to_jsonb(old);
  v_url text := coalesce(trim(new.railway_url), '');
  -- current_user is the role of the request; within a function that has its owner's rights it is the owner.
  v_is_bound boolean := current_user in ('anon', 'authenticated');
begin
  if tg_op = 'INSERT' then
    -- An insert may turn out to be an upsert of a row that exists. Locked, that row is there until this transaction ends.
    select to_jsonb(a) into v_before from public.agents a where a.id = new.id for update;
  end if;
  if v_is_bound then
    v_is_bound := not public.has_role(auth.uid(), 'admin');
  end if;
  if v_is_bound then
    if new.executor not in ('model', coalesce(v_before ->> 'executor', ''))
      or coalesce(new.entrypoint, '') not in ('', coalesce(v_before ->> 'entrypoint', ''))
    then
      raise sqlstate '42501' using message = 'Only admins set an agent''s executor or entrypoint.';
    end if;
    if v_url not in ('', coalesce(v_before ->> 'railway_url', '')) then
      if tg_op = 'INSERT' and v_before is not null then
        -- The update that follows comes here again; it would not have the wish, for which the upsert has no column.
        return new;
      end if;
      if length(v_url) <= 2000 then
        new.railway_url_requested := v_url;
      end if;
      new.railway_url := v_before ->> 'railway_url';
    elsif v_url = '' and coalesce(v_before ->> 'railway_url', '') <> '' then
      new.railway_url_requested := null;
    end if;
  elsif tg_op = 'UPDATE' and new.railway_url is distinct from old.railway_url then
    new.railway_url_requested := null;
  end if;
  new.railway_url_requested := nullif(trim(new.railway_url_requested), '');
  new.railway_url_requested_at := case
    when new.railway_url_requested is null then null
    when new.railway_url_requested = v_before ->> 'railway_url_requested' then (v_before ->> 'railway_url_requested_at')::timestamptz
    else now() end;
  return new;
end $$;

create or replace trigger guard_agent_executor before insert or update on public.agents for each row
  execute function public.guard_agent_executor();

revoke execute on function public.guard_agent_executor() from public, anon, authenticated;

-- schemas/agents/list_models.sql

-- Returns the agents that a caller may choose from, as models of OpenAI's API or tools of MCP: {models: [{id, name,
-- description, createdAt}]}, newest first, at most p_limit; name and description are cut. A user has their own agents; a key those that it is for, or the published ones of its owner.
--   p_agent_id  returns this one alone, whosever it is, if the caller may run it; otherwise none
create or replace function public.list_models(p_user_id uuid, p_api_key_id uuid, p_limit integer, p_agent_id uuid default null) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_agent_ids uuid[];
begin
  if p_api_key_id is not null then
    select agent_ids into v_agent_ids from public.api_keys where id = p_api_key_id and user_id = p_user_id and is_active;
    if not found then
      raise sqlstate 'PT401' using hint = 'unauthorized', message = 'The API key is unknown or no longer active.';
    end if;
  end if;
  return jsonb_build_object('models', coalesce((
    select jsonb_agg(jsonb_build_object('id', id, 'name', left(name, 200), 'description', description, 'createdAt', public.iso_time(created_at)) order by created_at desc, id)
      from (
        select id, name, nullif(left(description, 500), '') as description, coalesce(created_at, 'epoch') as created_at from public.agents
          where (is_published or (user_id = p_user_id and p_api_key_id is null))
            and (coalesce(cardinality(v_agent_ids), 0) = 0 or id = any (v_agent_ids))
            and case
              when p_agent_id is not null then id = p_agent_id
              when cardinality(v_agent_ids) > 0 then true
              else user_id = p_user_id end
          order by created_at desc, id limit p_limit) agents), '[]'));
end $$;

revoke execute on function public.list_models(uuid, uuid, integer, uuid) from public, anon, authenticated;
grant execute on function public.list_models(uuid, uuid, integer, uuid) to service_role;

-- schemas/agents/refuse_beyond.sql

-- Refuses a value that is larger than authors may write.
--   p_what  the column, for the sentence
--   p_text  the value
--   p_max   bytes
create or replace function public.refuse_beyond(p_what text, p_text text, p_max integer) returns void
language plpgsql immutable set search_path = '' as $$
begin
  if octet_length(p_text) > p_max then
    raise sqlstate 'PT400' using hint = 'bad_request',
      message = format('%s is too large: it has %s bytes, and %s are allowed.', p_what, octet_length(p_text), p_max);
  end if;
end $$;

revoke execute on function public.refuse_beyond(text, text, integer) from public;
-- The triggers that call it run with the rights of whoever writes the row.
grant execute on function public.refuse_beyond(text, text, integer) to anon, authenticated, service_role;

-- schemas/agents/refuse_words.sql

-- Refuses a list of more words than authors may write, or with a longer word; spaces around a word do not count.
--   p_what  the column, for the sentence
create or replace function public.refuse_words(p_what text, p_words text[]) returns void
language plpgsql immutable set search_path = '' as $$
begin
  if cardinality(p_words) > 100 then
    raise sqlstate 'PT400' using hint = 'bad_request',
      message = format('%s has %s words, and 100 are allowed.', p_what, cardinality(p_words));
  end if;
  if exists (select from unnest(p_words) as words (word) where octet_length(trim(word)) > 100) then
    raise sqlstate 'PT400' using hint = 'bad_request', message = format('A word of %s has more than 100 bytes.', p_what);
  end if;
end $$;

revoke execute on function public.refuse_words(text, text[]) from public;
-- The trigger that calls it runs with the rights of whoever writes the row.
grant execute on function public.refuse_words(text, text[]) to anon, authenticated, service_role;

-- schemas/common/batch_bytes.sql

-- Returns how many bytes of texts whose size users choose one call returns; the row that reaches the limit is the last one.
-- PostgreSQL builds no JSON beyond 255 MiB, so that a batch counted in rows alone can be one that nobody gets.
create or replace function public.batch_bytes() returns integer
language sql immutable set search_path = '' as $$ select 33554432 $$;

revoke execute on function public.batch_bytes() from public, anon, authenticated;
grant execute on function public.batch_bytes() to service_role;

-- schemas/common/schema_version.sql

-- Returns {version, oldest, writable, now}: the version of these definitions, the oldest version of the service's code that
-- they still serve, whether the database accepts writes, which a standby does not, and its time. The service compares them with
-- its own version before it uses the database.
create or replace function public.schema_version() returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object('version', 5, 'oldest', 4,
    'writable', not pg_catalog.pg_is_in_recovery() and pg_catalog.current_setting('transaction_read_only') = 'off',
    'now', public.iso_time(clock_timestamp()))
$$;

revoke execute on function public.schema_version() from public, anon, authenticated;
grant execute on function public.schema_version() to service_role;

-- schemas/console/agent_row.sql

-- Returns an agent as its owner's pages read it.
create or replace function public.agent_row(a public.agents) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return jsonb_build_object('id', a.id, 'user_id', a.user_id, 'name', a.name, 'description', a.description, 'purpose', a.purpose,
    'status', a.status, 'system_prompt', a.system_prompt, 'ai_model', a.ai_model, 'temperature', case when a.temperature between -1000 and 1000 then a.temperature end, 'max_tokens', a.max_tokens,
    'knowledge_base', a.knowledge_base, 'is_published', coalesce(a.is_published, false), 'is_heavy', coalesce(a.is_heavy, false),
    'executor', a.executor, 'entrypoint', a.entrypoint, 'created_at', a.created_at, 'updated_at', a.updated_at);
end $$;

revoke execute on function public.agent_row(public.agents) from public, anon, authenticated;
grant execute on function public.agent_row(public.agents) to service_role;

-- schemas/console/delete_row.sql

-- Deletes a row of a user's: {deleted: true}. Raises `not_found`.
--   p_table  agents, agent_functions or agent_schedules
create or replace function public.delete_row(p_user_id uuid, p_table text, p_id uuid) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
begin
  if p_table = 'agents' then
    delete from public.agents where id = p_id and user_id = p_user_id;
  elsif p_table = 'agent_functions' then
    delete from public.agent_functions f using public.agents a where f.id = p_id and a.id = f.agent_id and a.user_id = p_user_id;
  else
    delete from public.agent_schedules where id = p_id and user_id = p_user_id;
  end if;
  if not found then
    raise sqlstate 'PT404' using hint = 'not_found', message = 'There is no such row.';
  end if;
  return '{"deleted": true}';
end $$;

revoke execute on function public.delete_row(uuid, text, uuid) from public, anon, authenticated;
grant execute on function public.delete_row(uuid, text, uuid) to service_role;

-- schemas/console/list_demo_users.sql

-- Returns users whom the embedded mode's console lets sign in, admins and the oldest first: {users: [{userId, email, isAdmin}]}.
create or replace function public.list_demo_users(p_limit integer) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  return jsonb_build_object('users', coalesce((
    select jsonb_agg(jsonb_build_object('userId', id, 'email', email, 'isAdmin', is_admin) order by is_admin desc, created_at, email, id)
      from (select u.id, u.email, u.created_at, exists (select from public.user_roles r where r.user_id = u.id and r.role = 'admin') as is_admin
        from auth.users u order by is_admin desc, u.created_at, u.email, u.id limit p_limit) users), '[]'));
end $$;

revoke execute on function public.list_demo_users(integer) from public, anon, authenticated;
grant execute on function public.list_demo_users(integer) to service_role;

-- schemas/console/list_rows.sql

-- Returns a user's rows of a table as pages beside Supabase read them, newest first: {rows}, 500 at the most, and of what authors
-- write without a small bound as many as have 2 MB together, the first in any case: an answer is written in one turn of an event loop.
--   p_table     agents: the user's own, without their prompts and knowledge, and those that others have published, with their
--               names alone; agent_functions and scheduled_runs of an agent of the user's; agent_schedules
--   p_agent_id  agents: this one alone, wholly, if it is the user's
create or replace function public.list_rows(p_user_id uuid, p_table text, p_agent_id uuid default null) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_rows jsonb;
  v_id uuid;
  v_one jsonb;
  v_all jsonb[] := '{}';
  v_bytes bigint := 0;
  v_max constant integer := 2000000;
begin
  if p_table = 'agents' and p_agent_id is not null then
    select jsonb_build_array(public.agent_row(a)) into v_rows from public.agents a where a.id = p_agent_id and a.user_id = p_user_id;
  elsif p_table = 'agents' then
    -- Prompts and knowledge, a megabyte an agent, are not even read.
    select jsonb_agg(jsonb_build_object('id', a.id, 'user_id', a.user_id, 'name', left(a.name, 200), 'description', left(a.description, 500),
        'is_published', coalesce(a.is_published, false)) || case when a.user_id <> p_user_id then '{}' else jsonb_build_object(
          'purpose', left(a.purpose, 500), 'status', left(a.status, 200), 'ai_model', left(a.ai_model, 200), 'temperature', case when a.temperature between -1000 and 1000 then a.temperature end, 'max_tokens', a.max_tokens,
          'is_heavy', coalesce(a.is_heavy, false), 'executor', a.executor, 'entrypoint', left(a.entrypoint, 500),
          'created_at', a.created_at, 'updated_at', a.updated_at) end
        order by (a.user_id = p_user_id) desc, a.created_at desc, a.id) into v_rows
      from (select * from public.agents where user_id = p_user_id or is_published
        order by (user_id = p_user_id) desc, created_at desc, id limit 500) a;
  elsif p_table = 'agent_functions' then
    -- One after the other: of what is beyond the limit nothing is read.
    for v_id in select f.id from public.agent_functions f join public.agents a on a.id = f.agent_id
      where f.agent_id = p_agent_id and a.user_id = p_user_id order by f.execution_order, f.created_at, f.id
    loop
      select to_jsonb(f) into v_one from public.agent_functions f where id = v_id;
      v_bytes := v_bytes + octet_length(v_one::text);
      exit when v_bytes > v_max and v_all <> '{}';
      v_all := v_all || v_one;
    end loop;
    v_rows := to_jsonb(v_all);
  elsif p_table = 'agent_schedules' then
    for v_id in select id from public.agent_schedules where user_id = p_user_id and (p_agent_id is null or agent_id = p_agent_id)
      order by created_at desc, id limit 500
    loop
      select to_jsonb(s) - '{unplanned_since,refusals,timed_at}'::text[] into v_one from public.agent_schedules s where id = v_id;
      v_bytes := v_bytes + octet_length(v_one::text);
      exit when v_bytes > v_max and v_all <> '{}';
      v_all := v_all || v_one;
    end loop;
    v_rows := to_jsonb(v_all);
  elsif p_table = 'scheduled_runs' then
    select jsonb_agg(jsonb_build_object('id', r.id, 'schedule_id', r.schedule_id, 'agent_id', r.agent_id, 'status', r.status, 'started_at', r.started_at,
        'completed_at', r.completed_at, 'generated_content', left(r.generated_content, 2000), 'error_message', left(r.error_message, 2000),
        'credits_used', r.credits_used, 'run_id', r.run_id) order by r.created_at desc, r.id) into v_rows
      from (select * from public.scheduled_runs where user_id = p_user_id and (p_agent_id is null or agent_id = p_agent_id)
        order by created_at desc, id limit 20) r;
  end if;
  return jsonb_build_object('rows', coalesce(v_rows, '[]'));
end $$;

revoke execute on function public.list_rows(uuid, text, uuid) from public, anon, authenticated;
grant execute on function public.list_rows(uuid, text, uuid) to service_role;

-- schemas/console/save_agent.sql

-- Makes an agent, or changes one of the user's, for save_row.
create or replace function public.save_agent(p_user_id uuid, p_id uuid, p_row jsonb, p_is_admin boolean) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_agent public.agents;
begin
  if p_id is null then
    insert into public.agents (user_id, name, purpose, status) values (p_user_id, p_row ->> 'name', '', 'active') returning * into v_agent;
  else
    select * into v_agent from public.agents where id = p_id and user_id = p_user_id for update;
    if not found then
      raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
    end if;
  end if;
  if not p_is_admin and (coalesce(p_row ->> 'executor', v_agent.executor), coalesce(p_row ->> 'entrypoint', v_agent.entrypoint, ''))
    is distinct from (v_agent.executor, coalesce(v_agent.entrypoint, ''))
  then
    raise sqlstate 'PT403' using hint = 'forbidden', message = 'Only admins set the executor or the entrypoint of an agent.';
  end if;
  update public.agents a
    set (name, description, purpose, system_prompt, ai_model, temperature, max_tokens, knowledge_base, is_published, is_heavy, executor, entrypoint, updated_at) = (
      select n.name, n.description, n.purpose, n.system_prompt, n.ai_model, n.temperature, n.max_tokens, n.knowledge_base, n.is_published, n.is_heavy,
          n.executor, n.entrypoint, now()
        from jsonb_populate_record(v_agent, p_row) n)
    where id = v_agent.id
    returning * into v_agent;
  return public.agent_row(v_agent);
end $$;

revoke execute on function public.save_agent(uuid, uuid, jsonb, boolean) from public, anon, authenticated;
grant execute on function public.save_agent(uuid, uuid, jsonb, boolean) to service_role;

-- schemas/console/save_function.sql

-- Makes a function of a user's agent, or changes one, for save_row.
create or replace function public.save_function(p_user_id uuid, p_id uuid, p_row jsonb, p_is_admin boolean) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_function public.agent_functions;
begin
  if p_id is null then
    insert into public.agent_functions (agent_id, name, function_type)
      values ((p_row ->> 'agent_id')::uuid, p_row ->> 'name', p_row ->> 'function_type') returning * into v_function;
  else
    select f.* into v_function from public.agent_functions f join public.agents a on a.id = f.agent_id
      where f.id = p_id and a.user_id = p_user_id for update of f;
    if not found then
      raise sqlstate 'PT404' using hint = 'not_found', message = 'There is no such row.';
    end if;
  end if;
  if coalesce(p_row ->> 'function_type', v_function.function_type) = 'python' and not p_is_admin
    and (p_id is null or v_function.function_type <> 'python'
      or coalesce(p_row -> 'config', v_function.config) -> 'entrypoint' is distinct from v_function.config -> 'entrypoint')
  then
    raise sqlstate 'PT403' using hint = 'forbidden', message = 'Only admins make functions that are Python, or say what code they are.';
  end if;
  update public.agent_functions f
    set (name, description, function_type, trigger_keywords, config, is_enabled, execution_order, updated_at) = (
      select n.name, n.description, n.function_type, n.trigger_keywords, n.config, n.is_enabled, n.execution_order, now()
        from jsonb_populate_record(v_function, p_row) n)
    where id = v_function.id
    returning * into v_function;
  return to_jsonb(v_function);
end $$;

revoke execute on function public.save_function(uuid, uuid, jsonb, boolean) from public, anon, authenticated;
grant execute on function public.save_function(uuid, uuid, jsonb, boolean) to service_role;

-- schemas/console/save_row.sql

-- Makes a row of a user's, or changes the one whose id `p_row` has, and returns it: {row}. What `p_row` does not name stays as
-- it is. Whose a row is and what the service writes into it cannot be set. As the policies and triggers have it for users:
-- only admins set which code runs. Raises `not_found`, `agent_not_found`, `forbidden`, `unauthorized`, and what triggers refuse.
--   p_table  agents, agent_functions or agent_schedules
create or replace function public.save_row(p_user_id uuid, p_table text, p_row jsonb) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_id uuid := p_row ->> 'id';
  v_agent_id uuid := p_row ->> 'agent_id';
  v_is_admin boolean := exists (select from public.user_roles where user_id = p_user_id and role = 'admin');
begin
  if not exists (select from auth.users where id = p_user_id) then
    raise sqlstate 'PT401' using hint = 'unauthorized', message = 'There is no such user any more.';
  end if;
  if v_agent_id is not null and not exists (select from public.agents where id = v_agent_id and user_id = p_user_id) then
    raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
  end if;
  if p_table = 'agents' then
    return jsonb_build_object('row', public.save_agent(p_user_id, v_id, p_row, v_is_admin));
  elsif p_table = 'agent_functions' then
    return jsonb_build_object('row', public.save_function(p_user_id, v_id, p_row, v_is_admin));
  end if;
  return jsonb_build_object('row', public.save_schedule(p_user_id, v_id, p_row));
end $$;

revoke execute on function public.save_row(uuid, text, jsonb) from public, anon, authenticated;
grant execute on function public.save_row(uuid, text, jsonb) to service_role;

-- schemas/console/save_schedule.sql

-- Makes a schedule of a user's agent, or changes one, for save_row. An agent has one: to make it again changes it.
create or replace function public.save_schedule(p_user_id uuid, p_id uuid, p_row jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_schedule public.agent_schedules;
begin
  if p_id is null then
    select * into v_schedule from public.agent_schedules where agent_id = (p_row ->> 'agent_id')::uuid and user_id = p_user_id for update;
    if not found then
      insert into public.agent_schedules (agent_id, user_id) values ((p_row ->> 'agent_id')::uuid, p_user_id) returning * into v_schedule;
    end if;
  else
    select * into v_schedule from public.agent_schedules where id = p_id and user_id = p_user_id for update;
    if not found then
      raise sqlstate 'PT404' using hint = 'not_found', message = 'There is no such row.';
    end if;
  end if;
  update public.agent_schedules s
    set (is_enabled, schedule_type, cron_expression, timezone, prompt_template, output_action, output_config, updated_at) = (
      select n.is_enabled, n.schedule_type, n.cron_expression, n.timezone, n.prompt_template, n.output_action, n.output_config, now()
        from jsonb_populate_record(v_schedule, p_row) n)
    where id = v_schedule.id
    returning * into v_schedule;
  return to_jsonb(v_schedule) - '{unplanned_since,refusals,timed_at}'::text[];
end $$;

revoke execute on function public.save_schedule(uuid, uuid, jsonb) from public, anon, authenticated;
grant execute on function public.save_schedule(uuid, uuid, jsonb) to service_role;

-- schemas/credits/check_plan_limits.sql

-- Raises `plan_limit_reached` if the user's plan allows no further charged run for now; the detail says after how many
-- seconds one is. What counts is what the user's ledger has of the last minute and hour, and the runs begun in them that
-- are not settled yet. A plan without a row in plan_limits is `free`, and so is a user without a balance.
--   p_idempotency_key  the firing of a schedule is never refused, though it counts: there is nobody who could try again
create or replace function public.check_plan_limits(p_user_id uuid, p_idempotency_key text default null) returns void
language plpgsql security definer set search_path = '' as $$
declare
  v_plan text := coalesce((select plan_type::text from public.credit_balances where user_id = p_user_id), 'free');
  v_a_minute integer;
  v_an_hour integer;
  v_in_minute bigint;
  v_in_hour bigint;
begin
  select runs_per_minute, runs_per_hour into v_a_minute, v_an_hour from public.plan_limits
    where plan_type in (v_plan, 'free') order by plan_type = v_plan desc limit 1;
  if v_a_minute is null and v_an_hour is null then
    return;
  end if;
  if p_idempotency_key ~ '^schedule:' and exists (select from public.scheduled_runs r
      where 'schedule:' || r.id = p_idempotency_key and r.run_id is null and r.request ->> 'userId' = p_user_id::text) then
    return;
  end if;
  -- If two runs of a user begin at once, the second waits here until the first is there to be counted. It is the lock that the
  -- reservation takes: with another one beside it, two transactions that begin and end runs of a user could deadlock.
  perform from public.credit_balances where user_id = p_user_id for no key update;
  select count(*) filter (where begun.at > now() - interval '1 minute'), count(*) into v_in_minute, v_in_hour
    from (
      select created_at as at from public.credit_usage where user_id = p_user_id and created_at > now() - interval '1 hour'
      union all
      select created_at from public.agent_runs
        where user_id = p_user_id and created_at > now() - interval '1 hour' and finished_at is null and is_charged
    ) begun;
  if v_in_hour >= v_an_hour then
    raise sqlstate 'PT429' using hint = 'plan_limit_reached',
      message = format('Your plan allows %s runs an hour: try again later.', v_an_hour), detail = '3600';
  end if;
  if v_in_minute >= v_a_minute then
    raise sqlstate 'PT429' using hint = 'plan_limit_reached',
      message = format('Your plan allows %s runs a minute: try again in a minute.', v_a_minute), detail = '60';
  end if;
end $$;

revoke execute on function public.check_plan_limits(uuid, text) from public, anon, authenticated;
grant execute on function public.check_plan_limits(uuid, text) to service_role;

-- schemas/credits/credits_left.sql

-- Returns what a user can spend.
create or replace function public.credits_left(p_user_id uuid) returns integer
language sql stable security definer set search_path = '' as $$
  select coalesce(max(credits_remaining), 0) from public.credit_balances where user_id = p_user_id
$$;

revoke execute on function public.credits_left(uuid) from public, anon, authenticated;
grant execute on function public.credits_left(uuid) to service_role;

-- schemas/credits/credits_to_reserve.sql

-- Returns how many credits a run reserves at first: the price of a run, and the price of the tokens of its first prompt and
-- of those that its steps can produce at most.
--   p_rate           {perRun, perThousandTokens}
--   p_prompt_tokens  the tokens of the messages; those of the agent's own texts are added here, a token for four characters
create or replace function public.credits_to_reserve(p_agent jsonb, p_rate jsonb, p_prompt_tokens integer default 0) returns integer
language plpgsql immutable set search_path = '' as $$
declare
  v_per_token numeric := (p_rate ->> 'perThousandTokens')::numeric / 1000;
  v_steps integer := 1;
  v_prompt numeric;
begin
  if p_agent ->> 'executor' = 'python' or v_per_token = 0 then
    return (p_rate ->> 'perRun')::integer;
  end if;
  if jsonb_array_length(p_agent -> 'functions') > 0 then
    if exists (select from jsonb_array_elements(p_agent -> 'functions') f where f -> 'config' ? 'parameters' or f ->> 'type' = 'mcp') then
      v_steps := coalesce((p_agent ->> 'maxSteps')::integer, 16);
    end if;
  end if;
  v_prompt := greatest(p_prompt_tokens, 0)
    + ceil((coalesce(length(p_agent ->> 'systemPrompt'), 0) + coalesce(length(nullif(p_agent ->> 'knowledgeBase', '[]')), 0)) / 4.0);
  return least(1000000000, (p_rate ->> 'perRun')::integer + ceil(v_per_token * v_prompt
    + least(1000000, v_per_token * coalesce((p_agent ->> 'maxTokens')::integer, 1000) * v_steps)))::integer;
end $$;

revoke execute on function public.credits_to_reserve(jsonb, jsonb, integer) from public, anon, authenticated;
grant execute on function public.credits_to_reserve(jsonb, jsonb, integer) to service_role;

-- schemas/credits/deduct_credits.sql

-- Takes credits outside of a run and enters them in the ledger. The platform's functions call it by this name and with
-- these arguments; the entry that they make themselves takes the place of this one (match_entry).
create or replace function public.deduct_credits(p_user_id uuid, p_credits integer) returns void
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
begin
  if p_credits is null or p_credits < 0 then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'p_credits must be zero or more.';
  end if;
  perform public.give_first_balance(p_user_id);
  update public.credit_balances
    set credits_remaining = credits_remaining - p_credits, credits_entered = -p_credits,
        credits_used_this_month = coalesce(credits_used_this_month, 0) + p_credits
    where user_id = p_user_id and credits_remaining >= p_credits;
  if not found then
    raise sqlstate 'PT402' using hint = 'insufficient_credits',
      message = format('There are not enough credits (needed: %s, left: %s).', p_credits, public.credits_left(p_user_id));
  end if;
  if p_credits > 0 then
    insert into public.credit_usage (user_id, credits_used, operation_type, metadata)
      values (p_user_id, p_credits, 'deduction', '{"by": "deduct_credits"}');
  end if;
end $$;

revoke execute on function public.deduct_credits(uuid, integer) from public, anon, authenticated;
grant execute on function public.deduct_credits(uuid, integer) to service_role;

-- schemas/credits/extend_reservation.sql

-- Extends the reservation of a run to p_credits, or as far as the balance allows, and the API key that began the
-- run. Returns the reservation.
create or replace function public.extend_reservation(p_run_id uuid, p_credits integer) returns integer
language plpgsql security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
  v_more integer;
begin
  select * into v_run from public.agent_runs where id = p_run_id for update;
  if not v_run.is_charged or coalesce(p_credits, 0) <= v_run.credits_reserved then
    return v_run.credits_reserved;
  end if;
  select least(p_credits - v_run.credits_reserved, credits_remaining) into v_more
    from public.credit_balances where user_id = v_run.user_id for update;
  -- The balance is locked before the key, as in begin_run.
  if v_run.api_key_id is not null then
    perform from public.api_keys where id = v_run.api_key_id for no key update;
    v_more := least(v_more, public.credits_left_of_key(v_run.api_key_id));
  end if;
  if coalesce(v_more, 0) <= 0 then
    return v_run.credits_reserved;
  end if;
  update public.credit_balances
    set credits_remaining = credits_remaining - v_more, credits_reserved = credits_reserved + v_more
    where user_id = v_run.user_id;
  update public.agent_runs set credits_reserved = credits_reserved + v_more where id = p_run_id;
  return v_run.credits_reserved + v_more;
end $$;

revoke execute on function public.extend_reservation(uuid, integer) from public, anon, authenticated;
grant execute on function public.extend_reservation(uuid, integer) to service_role;

-- schemas/credits/first_credits.sql

-- Returns the credits that a user's first balance begins with. Whoever has had a balance before gets none.
create or replace function public.first_credits(p_user_id uuid) returns integer
language plpgsql stable security definer set search_path = '' as $$
begin
  if exists (select from public.credit_changes where user_id = p_user_id) then
    return 0;
  end if;
  return coalesce((select sign_up_credits from public.credit_settings), 5);
end $$;

revoke execute on function public.first_credits(uuid) from public, anon, authenticated;
grant execute on function public.first_credits(uuid) to service_role;

-- schemas/credits/force_first_balance.sql

-- Makes the balance that users insert themselves what the platform gives at sign-up, whatever they ask for. The condition is
-- the role of the statement: this also runs before an upsert of the service role turns out to be an update, whose values are
-- not to be touched.
create or replace function public.force_first_balance() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  new.credits_remaining := public.first_credits(new.user_id);
  new.credits_used_this_month := 0;
  new.plan_type := 'basic';
  return new;
end $$;

create or replace trigger force_first_balance before insert on public.credit_balances for each row
  when (current_user in ('authenticated', 'anon')) execute function public.force_first_balance();

revoke execute on function public.force_first_balance() from public, anon, authenticated;
grant execute on function public.force_first_balance() to service_role;

-- schemas/credits/get_credits.sql

-- Returns the balance of a user. A user who has none yet is told the one that the first run will give.
create or replace function public.get_credits(p_user_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_credits jsonb;
  v_first integer := 0;
begin
  select jsonb_build_object('creditsRemaining', coalesce(credits_remaining, 0), 'creditsReserved', credits_reserved,
      'creditsUsedThisMonth', coalesce(credits_used_this_month, 0), 'planType', coalesce(plan_type, 'free'))
    into v_credits from public.credit_balances where user_id = p_user_id;
  if found then
    return v_credits;
  end if;
  if exists (select from auth.users where id = p_user_id) then
    v_first := public.first_credits(p_user_id);
  end if;
  return jsonb_build_object('creditsRemaining', v_first, 'creditsReserved', 0, 'creditsUsedThisMonth', 0,
    'planType', case when v_first > 0 then 'basic' else 'free' end);
end $$;

revoke execute on function public.get_credits(uuid) from public, anon, authenticated;
grant execute on function public.get_credits(uuid) to service_role;

-- schemas/credits/give_first_balance.sql

-- Makes the first balance of a user whom no page has made one, as the platform gives it at sign-up.
create or replace function public.give_first_balance(p_user_id uuid, p_reason text default null) returns void
language plpgsql security definer set search_path = '' as $$
begin
  if exists (select from public.credit_balances where user_id = p_user_id)
    or not exists (select from auth.users where id = p_user_id)
  then
    return;
  end if;
  insert into public.credit_balances (user_id, credits_remaining, plan_type)
    values (p_user_id, public.first_credits(p_user_id), 'basic')
    on conflict (user_id) do nothing;
  if found then
    update public.credit_changes set kind = 'sign_up', reason = p_reason where user_id = p_user_id and kind = 'opening';
  end if;
end $$;

revoke execute on function public.give_first_balance(uuid, text) from public, anon, authenticated;
grant execute on function public.give_first_balance(uuid, text) to service_role;

-- schemas/credits/grant_credits.sql

-- Gives credits to a user, or takes some if p_credits is below zero, and enters them in the ledger. Returns the balance. No more
-- can be taken than remains: what runs have reserved is theirs.
create or replace function public.grant_credits(p_user_id uuid, p_credits integer, p_reason text, p_granted_by uuid default null)
returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_after integer;
begin
  if coalesce(p_credits, 0) = 0 or coalesce(trim(p_reason), '') = '' then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'A grant is of one credit or more, or takes as many, and has a reason.';
  end if;
  if not exists (select from auth.users where id = p_user_id) then
    raise sqlstate 'PT404' using hint = 'user_not_found', message = 'There is no such user.';
  end if;
  perform public.give_first_balance(p_user_id);
  update public.credit_balances
    set credits_remaining = coalesce(credits_remaining, 0) + p_credits, credits_entered = p_credits
    where user_id = p_user_id and coalesce(credits_remaining, 0)::bigint + credits_reserved + p_credits <= 2147483647
      and coalesce(credits_remaining, 0)::bigint + p_credits >= 0
    returning credits_remaining into v_after;
  if not found and p_credits < 0 then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'The user has fewer credits left than that.';
  end if;
  if not found then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'The balance would be larger than a balance can be.';
  end if;
  perform public.enter_change(p_user_id, case when p_credits > 0 then 'grant' else 'adjustment' end, p_credits, v_after - p_credits, v_after, p_reason,
    jsonb_build_object('grantedBy', p_granted_by));
  return public.get_credits(p_user_id);
end $$;

revoke execute on function public.grant_credits(uuid, integer, text, uuid) from public, anon, authenticated;
grant execute on function public.grant_credits(uuid, integer, text, uuid) to service_role;

-- schemas/credits/reserve_credits.sql

-- Moves credits of a user from remaining to reserved. Returns false if there are too few.
create or replace function public.reserve_credits(p_user_id uuid, p_credits integer) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  for v_try in 1 .. 3 loop
    update public.credit_balances
      set credits_remaining = credits_remaining - p_credits, credits_reserved = credits_reserved + p_credits
      where user_id = p_user_id and credits_remaining >= p_credits;
    if found then
      return true;
    end if;
    -- Before a user is refused, a new one gets the first balance, unless another call has just made it.
    if v_try = 1 then
      perform public.give_first_balance(p_user_id);
    -- Then the runs that no process will continue return their reservations.
    elsif v_try = 2 and not public.end_forsaken_runs(p_user_id) then
      return false;
    end if;
  end loop;
  return false;
end $$;

revoke execute on function public.reserve_credits(uuid, integer) from public, anon, authenticated;
grant execute on function public.reserve_credits(uuid, integer) to service_role;

-- schemas/leases/claim_queued_runs.sql

-- Takes runs, which the queue has handed out by their ids, each as claim_run does, in one transaction.
--   p_runs  [{runId, keepFirst}]; keepFirst: see p_keep_first of take_run
-- Returns what claim_run answers for each of them, as {id: answer}. A run that cannot be judged now, because another
-- transaction has it, is `unable`.
create or replace function public.claim_queued_runs(
  p_runs jsonb, p_owner uuid, p_lease_seconds numeric, p_max_per_user integer, p_python boolean default true,
  p_max_crashes integer default 20, p_room bigint default null, p_inline_bytes integer default null
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_asked record;
  v_claim jsonb;
  v_claims jsonb := '{}';
  v_room bigint := p_room;
  v_bytes bigint;
begin
  for v_asked in
    select a.id, a.keep_first from (
        select (value ->> 'runId')::uuid as id, (value ->> 'keepFirst')::boolean as keep_first, ordinality
          from jsonb_array_elements(p_runs) with ordinality) a
      left join public.agent_runs r on r.id = a.id
      -- Each locks the slots of its user, and one that may be ended the balance before them: in one order for all processes, or two
      -- could wait for each other.
      order by r.user_id, r.crashes + 1 >= p_max_crashes desc, a.ordinality
  loop
    v_claim := public.claim_run(v_asked.id, p_owner, p_lease_seconds, p_max_per_user, p_python, p_max_crashes,
      v_asked.keep_first, v_room, p_inline_bytes);
    v_claims := v_claims || jsonb_build_object(v_asked.id, v_claim);
    -- Only large inputs are counted, as in the process.
    v_bytes := (v_claim -> 'claimed' ->> 'inputBytes')::bigint;
    if v_bytes > p_inline_bytes then
      v_room := v_room - v_bytes;
    end if;
  end loop;
  return v_claims;
end $$;

revoke execute on function public.claim_queued_runs(jsonb, uuid, numeric, integer, boolean, integer, bigint, integer)
  from public, anon, authenticated;
grant execute on function public.claim_queued_runs(jsonb, uuid, numeric, integer, boolean, integer, bigint, integer)
  to service_role;

-- schemas/leases/claim_run.sql

-- Takes one run, which the queue has handed out by its id.
--   p_max_per_user  how many runs of one user may be under way at a time, over all processes
--   p_keep_first    see take_run
--   p_room          for how many bytes of input the process has memory; a run of more stays where it is. Null: any
--   p_inline_bytes  see take_run; what is not larger needs no room
-- Returns {claimed} or {refused}, which is one of `ended`; `owned`, a living process has the run; `busy`, the user has
-- p_max_per_user runs under way; `unable`, the agent is written in Python and this process cannot run it, or the run
-- cannot be taken now, see try_run, or rests, or another transaction has it; `full`, this process has no memory for it.
create or replace function public.claim_run(
  p_run_id uuid, p_owner uuid, p_lease_seconds numeric, p_max_per_user integer, p_python boolean default true,
  p_max_crashes integer default 20, p_keep_first boolean default true,
  p_room bigint default null, p_inline_bytes integer default null
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
  v_taken jsonb;
begin
  select * into v_run from public.agent_runs where id = p_run_id for update skip locked;
  if not found and exists (select from public.agent_runs where id = p_run_id) then
    return '{"refused": "unable"}';
  elsif not found or v_run.finished_at is not null then
    return '{"refused": "ended"}';
  elsif not public.is_abandoned(v_run) then
    -- Without an owner it rests, see rest_run.
    return jsonb_build_object('refused', case when v_run.owner is null then 'unable' else 'owned' end);
  elsif not p_python and public.is_python_run(p_run_id) then
    return '{"refused": "unable"}';
  elsif public.input_bytes(p_run_id) > greatest(p_room, p_inline_bytes) then
    return '{"refused": "full"}';
  end if;
  -- Where the run may be ended here, its balance is locked before the slots, as where a run begins.
  if v_run.crashes + 1 >= p_max_crashes then
    begin
      perform from public.credit_balances where user_id = v_run.user_id for no key update;
    exception when lock_not_available then
      -- Another transaction holds it. A later claim takes the run, and others are taken now.
      return '{"refused": "unable"}';
    end;
  end if;
  if not public.has_free_slot(v_run.user_id, p_max_per_user, p_run_id) then
    return '{"refused": "busy"}';
  end if;
  v_taken := public.try_run(p_run_id, p_owner, p_lease_seconds, p_max_crashes, p_keep_first, true, p_inline_bytes);
  if v_taken is not null then
    return jsonb_build_object('claimed', v_taken);
  end if;
  return jsonb_build_object('refused', (
    select case when finished_at is null then 'unable' else 'ended' end from public.agent_runs where id = p_run_id));
end $$;

revoke execute on function public.claim_run(uuid, uuid, numeric, integer, boolean, integer, boolean, bigint, integer)
  from public, anon, authenticated;
grant execute on function public.claim_run(uuid, uuid, numeric, integer, boolean, integer, boolean, bigint, integer) to service_role;

-- schemas/leases/claim_runs.sql

-- Takes over abandoned runs, those of each user in turn, the oldest first, each as a new attempt, until they have batch_bytes.
-- A run during which p_max_crashes processes have died is ended instead and costs nothing; so is one that could not be taken
-- so often, see try_run.
--   p_python      false leaves runs of agents written in Python to other processes
--   p_keep_first  see take_run
--   p_lapsed      true takes only runs whose owner has stopped its heartbeats; runs that wait, or were released, are
--                 handed out by claim_run
--   p_room        for how many bytes of input the process has memory; runs of more stay where they are. Null: any
--   p_inline_bytes  see take_run; what is not larger needs no room
-- Returns {claimed: [{run, userId, cancel, input, steps, inputBytes}], outstanding, others}: `outstanding` is true if any run is
-- unfinished; `others` is true if another process has looked for runs within eleven minutes, and so is known to live.
create or replace function public.claim_runs(
  p_owner uuid, p_lease_seconds numeric, p_limit integer, p_max_crashes integer default 20, p_python boolean default true,
  p_keep_first boolean default false, p_lapsed boolean default false,
  p_room bigint default null, p_inline_bytes integer default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_id uuid;
  v_taken jsonb;
  v_claimed jsonb[] := '{}';
  v_bytes bigint := 0;
  v_room bigint := p_room;
  v_input_bytes bigint;
begin
  insert into public.agent_workers (owner, lease_until) values (p_owner, '-infinity')
    on conflict (owner) do update set seen_at = now();
  for v_id in
    select r.id from public.agent_runs r
      join (
        select id, row_number() over (partition by user_id order by lease_until, created_at) as turn
          from public.agent_runs a
          where finished_at is null and lease_until < now() and public.is_abandoned(a)
            and (not p_lapsed or (owner is not null and lease_until > '-infinity'))
            and (p_python or not public.is_python_run(id))) abandoned using (id)
      -- Checked again for a row that another process has changed meanwhile.
      where finished_at is null and lease_until < now()
        and (not p_lapsed or (owner is not null and lease_until > '-infinity')) and public.is_abandoned(r)
        and (p_room is null or public.input_bytes(id) <= greatest(p_room, p_inline_bytes))
      order by turn, lease_until, created_at
      limit p_limit
      for update of r skip locked
  loop
    -- Only large inputs are counted, as in the process.
    v_input_bytes := case when p_room is null then 0 else public.input_bytes(v_id) end;
    if v_input_bytes > p_inline_bytes then
      continue when v_input_bytes > v_room;
      v_room := v_room - v_input_bytes;
    end if;
    v_taken := public.try_run(v_id, p_owner, p_lease_seconds, p_max_crashes, p_keep_first, false, p_inline_bytes);
    if v_taken is not null then
      v_claimed := v_claimed || v_taken;
      v_bytes := v_bytes + pg_column_size(v_taken);
    end if;
    exit when v_bytes >= public.batch_bytes();
  end loop;
  return jsonb_build_object(
    'claimed', to_jsonb(v_claimed),
    'outstanding', exists (select from public.agent_runs where finished_at is null),
    'others', exists (select from public.agent_workers where owner <> p_owner and seen_at > now() - interval '11 minutes'));
end $$;

revoke execute on function public.claim_runs(uuid, numeric, integer, integer, boolean, boolean, boolean, bigint, integer)
  from public, anon, authenticated;
grant execute on function public.claim_runs(uuid, numeric, integer, integer, boolean, boolean, boolean, bigint, integer)
  to service_role;

-- schemas/leases/end_forsaken_runs.sql

-- Ends the runs of a user that no process has owned for ten minutes, and returns whether there were any. Such runs exist
-- where the edge function runs agents and no service takes them over. A run that waits for a slot counts as forsaken only
-- if no process lives.
create or replace function public.end_forsaken_runs(p_user_id uuid) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
  v_any boolean := false;
begin
  for v_run in
    select * from public.agent_runs r
      where user_id = p_user_id and finished_at is null
        and case when lease_until > '-infinity' then lease_until else created_at end < now() - interval '10 minutes'
        and public.is_abandoned(r)
        and ((lease_until > '-infinity' and (owner is not null or status = 'running'))
          or not exists (select from public.agent_workers w where w.seen_at > now() - interval '11 minutes'))
      for update skip locked
  loop
    update public.agent_runs set attempt = attempt + 1 where id = v_run.id;
    perform public.finish_run(v_run.id, v_run.attempt + 1, 'failed', '', null, null, 0, null, jsonb_build_object(
      'code', 'abandoned', 'message', 'The run was ended: nobody went on with it.'));
    v_any := true;
  end loop;
  return v_any;
end $$;

revoke execute on function public.end_forsaken_runs(uuid) from public, anon, authenticated;
grant execute on function public.end_forsaken_runs(uuid) to service_role;

-- schemas/leases/get_run_owners.sql

-- Says whose the given runs are, or were until they ended: [{runId, owner, hasEnded}]. `owner` is null for a run that waits or was
-- released, or whose owner may be dead.
--   p_fresh_seconds  how long a lease must still last: an owner that lives has renewed it within the last second or two
create or replace function public.get_run_owners(p_run_ids jsonb, p_fresh_seconds numeric) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
        'runId', r.id,
        'owner', case when r.lease_until is distinct from '-infinity'
          -- A run that has ended has no lease of its own.
          and greatest(r.lease_until, w.lease_until) > now() + make_interval(secs => p_fresh_seconds) then r.owner end,
        'hasEnded', r.finished_at is not null)), '[]')
      from jsonb_array_elements_text(p_run_ids) as wanted (id)
      join public.agent_runs r on r.id = wanted.id::uuid
      left join public.agent_workers w on w.owner = r.owner);
end $$;

revoke execute on function public.get_run_owners(jsonb, numeric) from public, anon, authenticated;
grant execute on function public.get_run_owners(jsonb, numeric) to service_role;

-- schemas/leases/has_free_slot.sql

-- Returns whether a further run of a user may be under way, of p_max_per_user over all processes. Until the transaction ends, no
-- other call is answered for this user: of two processes that ask at once, the second counts what the first has begun.
--   p_except  a run that is not counted
create or replace function public.has_free_slot(p_user_id uuid, p_max_per_user integer, p_except uuid default null) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('slots of ' || p_user_id, 0));
  -- Most users are far from their limit: who of the owners lives is asked only beyond it.
  if (select count(owner) from public.agent_runs
      where user_id = p_user_id and finished_at is null and id is distinct from p_except) < p_max_per_user then
    return true;
  end if;
  return (select count(owner) from public.agent_runs r
    where user_id = p_user_id and finished_at is null and id is distinct from p_except
      and not public.is_abandoned(r)) < p_max_per_user;
end $$;

revoke execute on function public.has_free_slot(uuid, integer, uuid) from public, anon, authenticated;
grant execute on function public.has_free_slot(uuid, integer, uuid) to service_role;

-- schemas/leases/heartbeat_worker.sql

-- Extends the lease of a process, and with it the lease of all its runs.
-- Returns {lapsed, owned, cancel}: whether the lease had run out, so that other processes may have taken its runs; how many
-- runs it owns; and which of them are to be cancelled.
create or replace function public.heartbeat_worker(p_owner uuid, p_lease_seconds numeric) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_before timestamptz;
begin
  select lease_until into v_before from public.agent_workers where owner = p_owner for update;
  insert into public.agent_workers (owner, lease_until)
    values (p_owner, now() + make_interval(secs => p_lease_seconds))
    on conflict (owner) do update set lease_until = excluded.lease_until, seen_at = now();
  return jsonb_build_object(
    'lapsed', v_before is null or v_before < now(),
    'owned', (select count(*) from public.agent_runs where owner = p_owner and finished_at is null),
    'cancel', (select coalesce(jsonb_agg(id), '[]') from public.agent_runs
      where owner = p_owner and cancel_requested and finished_at is null));
end $$;

revoke execute on function public.heartbeat_worker(uuid, numeric) from public, anon, authenticated;
grant execute on function public.heartbeat_worker(uuid, numeric) to service_role;

-- schemas/leases/is_anyone_ahead.sql

-- Returns whether a run waits that a process could claim, so that a new run has to wait behind it. Runs of users who have
-- p_max_per_user under way wait for these, and not for a process. Where more than 16 users wait it does not look at all of
-- them, and returns true.
--   p_python, p_room, p_inline_bytes  what the process can execute, see claim_run
create or replace function public.is_anyone_ahead(p_max_per_user integer, p_python boolean, p_room bigint, p_inline_bytes integer) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  v_user uuid := '00000000-0000-0000-0000-000000000000';
  v_max_looks constant integer := 16;
begin
  for v_look in 1 .. v_max_looks loop
    select user_id into v_user from public.agent_runs
      where finished_at is null and (owner is null or lease_until = '-infinity') and lease_until <= now() and user_id > v_user
      order by user_id limit 1;
    if not found then
      return false;
    end if;
    if (select count(owner) from public.agent_runs r
          where user_id = v_user and finished_at is null and not public.is_abandoned(r)) < p_max_per_user
        and exists (
          select from (
            select id from public.agent_runs
              where user_id = v_user and finished_at is null and (owner is null or lease_until = '-infinity') and lease_until <= now()
              limit v_max_looks) w
            where (p_python or not public.is_python_run(id))
              and (p_room is null or public.input_bytes(id) <= greatest(p_room, p_inline_bytes))) then
      return true;
    end if;
  end loop;
  return true;
end $$;

revoke execute on function public.is_anyone_ahead(integer, boolean, bigint, integer) from public, anon, authenticated;
grant execute on function public.is_anyone_ahead(integer, boolean, bigint, integer) to service_role;

-- schemas/leases/list_waiting_runs.sql

-- Returns runs that wait for a process, those of each user in turn, the oldest first: {runs: [{runId, userId}], outstanding}. The queue hands them out.
--   p_queued  true includes runs that never had an owner; they are in the queue already, unless the queue was lost
create or replace function public.list_waiting_runs(p_limit integer, p_queued boolean) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'runs', coalesce((
      select jsonb_agg(jsonb_build_object('runId', id, 'userId', user_id) order by turn, created_at) from (
        select id, user_id, created_at, row_number() over (partition by user_id order by created_at) as turn
          from public.agent_runs r
          where finished_at is null and lease_until < now() and public.is_abandoned(r)
            and (lease_until = '-infinity' or (owner is null and (p_queued or status = 'running')))
          order by turn, created_at limit p_limit) u), '[]'),
    'outstanding', exists (select from public.agent_runs where finished_at is null))
$$;

revoke execute on function public.list_waiting_runs(integer, boolean) from public, anon, authenticated;
grant execute on function public.list_waiting_runs(integer, boolean) to service_role;

-- schemas/leases/may_begin_here.sql

-- Returns whether a new run of a user may begin at once at the process that asks, which has a slot for it: its user has fewer
-- than p_max_per_user runs under way over all processes, and no run waits that the process could claim instead.
--   p_bytes  the size of the run's input
--   p_python, p_room, p_inline_bytes  what the process can execute, see claim_run
create or replace function public.may_begin_here(
  p_user_id uuid, p_max_per_user integer, p_bytes bigint, p_python boolean, p_room bigint, p_inline_bytes integer
) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  return (p_room is null or p_bytes <= greatest(p_room, p_inline_bytes))
    and public.has_free_slot(p_user_id, p_max_per_user)
    and (not exists (select from public.agent_runs where finished_at is null and (owner is null or lease_until = '-infinity'))
      or not public.is_anyone_ahead(p_max_per_user, p_python, p_room, p_inline_bytes));
end $$;

revoke execute on function public.may_begin_here(uuid, integer, bigint, boolean, bigint, integer) from public, anon, authenticated;
grant execute on function public.may_begin_here(uuid, integer, bigint, boolean, bigint, integer) to service_role;

-- schemas/leases/rest_run.sql

-- Notes that a process could not go on with an unfinished run, for admins, and lets the run rest for five seconds, after which
-- any process may take it. A run that nobody could go on with p_max_crashes times ends as failed and costs nothing.
create or replace function public.rest_run(p_run_id uuid, p_reason text, p_max_crashes integer default 20) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
begin
  -- Where it ends, that is of an attempt of its own: its readers drop what the one before has told, and are told of the end.
  update public.agent_runs set crashes = crashes + 1, owner = null, lease_until = now() + interval '5 seconds',
      attempt = attempt + case when crashes + 1 < p_max_crashes then 0 else 1 end
    where id = p_run_id and finished_at is null
    returning * into v_run;
  if not found then
    return '{"ended": true}';
  end if;
  perform public.note_failure(p_run_id, jsonb_build_object('reason', p_reason));
  if v_run.crashes < p_max_crashes then
    return '{"ended": false}';
  end if;
  begin
    perform public.finish_run(v_run.id, v_run.attempt, 'failed', '', null, null, 0, null, jsonb_build_object(
      'code', 'crashed_too_often', 'message', 'The run was ended: the server could not go on with it, again and again.'));
  exception when others then
    -- Another transaction holds the user's balance, or a rule of the project refuses: a later try ends it, and other runs are taken.
    raise warning 'run % cannot be ended: %', p_run_id, sqlerrm;
    return '{"ended": false}';
  end;
  return '{"ended": true}';
end $$;

revoke execute on function public.rest_run(uuid, text, integer) from public, anon, authenticated;
grant execute on function public.rest_run(uuid, text, integer) to service_role;

-- schemas/leases/take_run.sql

-- Gives an abandoned run to a process, as a new attempt.
--   p_keep_first  true keeps the first attempt of a run that never had an owner: none of its events has another author
--   p_starts      true if the run has a slot
--   p_inline_bytes  input and steps that have more bytes together are not returned: see get_run_input
-- Returns what the process needs to make the attempt, or null if the run was ended because p_max_crashes processes have
-- died while they owned it.
create or replace function public.take_run(
  p_run_id uuid, p_owner uuid, p_lease_seconds numeric, p_max_crashes integer, p_keep_first boolean, p_starts boolean,
  p_inline_bytes integer default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
  v_is_fresh boolean;
  v_bytes bigint;
  v_is_inline boolean;
begin
  select * into v_run from public.agent_runs where id = p_run_id for update;
  v_is_fresh := v_run.owner is null and v_run.status = 'queued' and v_run.attempt = 1;
  update public.agent_runs
    set attempt = case when v_is_fresh and p_keep_first then attempt else attempt + 1 end,
        crashes = case when v_is_fresh or lease_until = '-infinity' then crashes else crashes + 1 end,
        status = case when p_starts then 'running' else status end,
        started_at = case when p_starts then coalesce(started_at, now()) else started_at end,
        owner = p_owner, lease_until = now() + make_interval(secs => p_lease_seconds)
    where id = p_run_id
    returning * into v_run;
  if v_run.crashes >= p_max_crashes then
    begin
      perform public.finish_run(v_run.id, v_run.attempt, 'failed', '', null, null, 0, null, jsonb_build_object(
        'code', 'crashed_too_often', 'message', 'The run was ended: the server broke down over it again and again.'));
    exception when lock_not_available then
      -- Another transaction holds the user's balance. The run is ended by a later claim.
      null;
    end;
    return null;
  end if;
  v_bytes := public.input_bytes(v_run.id);
  v_is_inline := v_bytes <= coalesce(p_inline_bytes, v_bytes);
  return jsonb_build_object(
    'run', public.run_json(v_run),
    'userId', v_run.user_id,
    'cancel', v_run.cancel_requested,
    'inputBytes', v_bytes,
    'input', case when v_is_inline then (select input from public.agent_run_inputs where run_id = v_run.id) end,
    'steps', case when v_is_inline then public.checkpoints_of(v_run.id) else '[]' end);
end $$;

revoke execute on function public.take_run(uuid, uuid, numeric, integer, boolean, boolean, integer)
  from public, anon, authenticated;
grant execute on function public.take_run(uuid, uuid, numeric, integer, boolean, boolean, integer) to service_role;

-- schemas/leases/try_run.sql

-- Takes a run as take_run does, but fails by itself: a run that cannot be taken, or is larger than a process may hold (64 MiB
-- with its steps), rests, see rest_run. Returns null then.
--   p_inline_bytes  see take_run
create or replace function public.try_run(
  p_run_id uuid, p_owner uuid, p_lease_seconds numeric, p_max_crashes integer, p_keep_first boolean, p_starts boolean,
  p_inline_bytes integer default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_taken jsonb;
  v_max constant integer := 67108864;
begin
  v_taken := public.take_run(p_run_id, p_owner, p_lease_seconds, p_max_crashes, p_keep_first, p_starts, p_inline_bytes);
  if (v_taken ->> 'inputBytes')::bigint > v_max then
    raise program_limit_exceeded using message = format('The run has %s bytes of input and steps.', v_taken ->> 'inputBytes');
  end if;
  return v_taken;
exception
  when lock_not_available or transaction_rollback then
    -- The run is as it was, and is taken later.
    return null;
  when others then
    perform public.rest_run(p_run_id, format('It could not be taken over: %s', sqlerrm), p_max_crashes);
    return null;
end $$;

revoke execute on function public.try_run(uuid, uuid, numeric, integer, boolean, boolean, integer) from public, anon, authenticated;
grant execute on function public.try_run(uuid, uuid, numeric, integer, boolean, boolean, integer) to service_role;

-- schemas/ledger/adjust_ledger.sql

-- Enters what makes each ledger add up to its balance, with the given reason. It is for history: changes that were made before
-- the ledger noted others' changes by itself. Returns {adjusted}: the number of balances.
create or replace function public.adjust_ledger(p_reason text) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_count integer;
begin
  if coalesce(trim(p_reason), '') = '' then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'An adjustment needs a reason.';
  end if;
  -- A change during the comparison would be entered twice.
  lock table public.credit_balances, public.credit_usage, public.credit_changes in share row exclusive mode;
  perform public.enter_change(e.user_id, 'adjustment', coalesce(e.actual, 0) - e.expected, null, null, p_reason)
    from public.expected_balances() e where coalesce(e.actual, 0) <> e.expected;
  get diagnostics v_count = row_count;
  return jsonb_build_object('adjusted', v_count);
end $$;

revoke execute on function public.adjust_ledger(text) from public, anon, authenticated;
grant execute on function public.adjust_ledger(text) to service_role;

-- schemas/ledger/audit_credits.sql

-- Compares balances, ledger and runs in one snapshot.
-- Returns {checked: {balances, entries, runs}, problems: [{kind, userId, runId, expected, found, message}], total}, with
-- at most p_limit of the problems; `total` is the number of all.
create or replace function public.audit_credits(p_limit integer default 100) returns jsonb
language sql stable security definer set search_path = '' as $$
  with per_run as (
    select run_id, sum(credits_used)::bigint as entered, (array_agg(user_id))[1] as user_id
      from public.credit_usage where run_id is not null group by run_id
  ), held as (
    select user_id, sum(credits_reserved)::bigint as credits
      from public.agent_runs where finished_at is null and credits_reserved > 0 group by user_id
  ), problem (kind, user_id, run_id, expected, found, message) as (
    select 'balance', user_id, null::uuid, expected, coalesce(actual, 0),
        case when actual is null then 'The ledger has entries of a user who has no balance.'
          else 'The balance is not what its ledger makes of it.' end
      from public.expected_balances() where coalesce(actual, 0) <> expected
    union all
    select 'negative_balance', user_id, null, 0, credits_remaining::bigint, 'The balance is below zero.'
      from public.credit_balances where credits_remaining < 0
    union all
    select 'reservation', coalesce(b.user_id, h.user_id), null, coalesce(h.credits, 0), coalesce(b.credits_reserved, 0)::bigint,
        'What is reserved is not what the runs under way hold.'
      from public.credit_balances b full join held h on h.user_id = b.user_id
      where coalesce(h.credits, 0) <> coalesce(b.credits_reserved, 0)
    union all
    select 'charge', coalesce(r.user_id, e.user_id), coalesce(r.id, e.run_id), coalesce(r.credits_charged, 0)::bigint,
        coalesce(e.entered, 0), case when r.id is null then 'The ledger has an entry for a run that is not there.'
          else 'What the run was charged is not what the ledger says.' end
      from (select * from public.agent_runs where credits_charged > 0) r full join per_run e on e.run_id = r.id
      where coalesce(r.credits_charged, 0) <> coalesce(e.entered, 0)
        -- The ledger of a deleted user is deleted too.
        and exists (select from auth.users a where a.id = coalesce(r.user_id, e.user_id))
    union all
    select 'held_after_end', user_id, id, 0, credits_reserved::bigint, 'The run has ended and holds credits still.'
      from public.agent_runs where finished_at is not null and credits_reserved > 0
    union all
    select 'stuck', user_id, id, null, null, 'The run has not ended, and no process has had it for ten minutes.'
      from public.agent_runs r
      where finished_at is null and greatest(lease_until, created_at) < now() - interval '10 minutes'
        and not exists (
          select from public.agent_workers w
            where w.lease_until > now() - interval '10 minutes'
              -- A released run waits for any living process.
              and (w.owner = r.owner or r.lease_until = '-infinity'))
  ), numbered as (
    select *, row_number() over (order by kind, user_id, run_id) as n from problem
  )
  select jsonb_build_object(
    'checked', jsonb_build_object(
      'balances', (select count(*) from public.credit_balances),
      'entries', (select count(*) from public.credit_usage) + (select count(*) from public.credit_changes),
      'runs', (select count(*) from public.agent_runs)),
    'problems', (select coalesce(jsonb_agg(jsonb_build_object('kind', kind, 'userId', user_id, 'runId', run_id,
        'expected', expected, 'found', found, 'message', message) order by n), '[]') from numbered where n <= p_limit),
    'total', (select count(*) from problem))
$$;

revoke execute on function public.audit_credits(integer) from public, anon, authenticated;
grant execute on function public.audit_credits(integer) to service_role;

-- schemas/ledger/close_balance.sql

-- Enters what a deleted balance had. Runs under way hold nothing of it any more; they take what they cost from the balance
-- that there is when they end. The ledger of a deleted user goes with the balance.
create or replace function public.close_balance() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if exists (select from auth.users where id = old.user_id) then
    perform public.enter_change(old.user_id, 'change', -(coalesce(old.credits_remaining, 0)::bigint + old.credits_reserved),
      old.credits_remaining, null);
  else
    delete from public.credit_usage where user_id = old.user_id;
    delete from public.credit_changes where user_id = old.user_id;
  end if;
  update public.agent_runs set credits_reserved = 0
    where user_id = old.user_id and finished_at is null and credits_reserved > 0;
  return null;
end $$;

create or replace trigger close_balance after delete on public.credit_balances for each row
  when (old.user_id is not null) execute function public.close_balance();

revoke execute on function public.close_balance() from public, anon, authenticated;
grant execute on function public.close_balance() to service_role;

-- schemas/ledger/enter_change.sql

-- Enters a change of a balance in the ledger, with the roles of whoever makes it.
create or replace function public.enter_change(
  p_user_id uuid, p_kind text, p_credits bigint, p_before bigint, p_after bigint, p_reason text default null,
  p_metadata jsonb default '{}'
) returns void
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.credit_changes (user_id, kind, credits, credits_before, credits_after, reason, metadata, db_role, jwt_role)
    values (p_user_id, p_kind, p_credits, p_before, p_after, p_reason, p_metadata,
      -- Within a definer function current_user is its owner; the setting `role` still names the role of the request.
      coalesce(nullif(current_setting('role', true), 'none'), session_user), auth.role())
    -- Only a first balance conflicts, with another that was made at the same time.
    on conflict do nothing;
end $$;

revoke execute on function public.enter_change(uuid, text, bigint, bigint, bigint, text, jsonb) from public, anon, authenticated;
grant execute on function public.enter_change(uuid, text, bigint, bigint, bigint, text, jsonb) to service_role;

-- schemas/ledger/get_ledger.sql

-- Returns a user's balance and a page of the ledger, newest first: {credits, entries, next}. Entries of both tables are in it;
-- what was given is below zero. p_after is the `next` of the page before, the id of its last entry.
create or replace function public.get_ledger(p_user_id uuid, p_limit integer, p_after uuid default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_after timestamptz;
begin
  select created_at into v_after from public.credit_usage where id = p_after and user_id = p_user_id
    union all select created_at from public.credit_changes where id = p_after and user_id = p_user_id;
  if p_after is not null and not found then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'The cursor is none that this service has given out.';
  end if;
  return (with entries as (
    select id, run_id, agent_id, credits_used::bigint, operation_type, metadata, created_at
      from public.credit_usage where user_id = p_user_id
    union all
    select id, null, null, -credits, kind, metadata || jsonb_strip_nulls(jsonb_build_object('reason', reason, 'from', credits_before,
        'to', credits_after, 'dbRole', db_role, 'jwtRole', jwt_role)), created_at
      from public.credit_changes where user_id = p_user_id
  ), page as (
    select e.*, row_number() over (order by created_at desc, id desc) as n from entries e
      where p_after is null or (created_at, id) < (v_after, p_after)
      order by created_at desc, id desc
      limit p_limit + 1
  )
  select jsonb_build_object(
    'credits', public.get_credits(p_user_id),
    'entries', coalesce((select jsonb_agg(jsonb_build_object('id', id, 'runId', run_id, 'agentId', agent_id,
        'creditsUsed', credits_used, 'operationType', operation_type, 'metadata', metadata,
        'createdAt', public.iso_time(created_at)) order by n) from page where n <= p_limit), '[]'),
    'next', (select id from page where n = p_limit and exists (select from page where n > p_limit))));
end $$;

revoke execute on function public.get_ledger(uuid, integer, uuid) from public, anon, authenticated;
grant execute on function public.get_ledger(uuid, integer, uuid) to service_role;

-- schemas/ledger/match_entry.sql

-- Finds the change that an entry of use stands for, where a caller has taken credits and enters them itself, as the platform's
-- functions do: the entry that deduct_credits has made, or a change of that size which nobody has entered. The entry takes
-- its place, so that the credits count once. Without such a change nothing was taken: the entry counts zero and says in its
-- metadata what is `unpaid`. An entry below zero is no use: it explains a change upwards, and stands with the changes.
create or replace function public.match_entry() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_since timestamptz := now() - interval '1 minute';
  v_metadata jsonb := case when jsonb_typeof(new.metadata) = 'object' then new.metadata else '{}' end;
begin
  if new.credits_used < 0 then
    update public.credit_changes set reason = new.operation_type, metadata = metadata || v_metadata where id = (
      select id from public.credit_changes
        where user_id = new.user_id and kind = 'change' and reason is null and credits = -new.credits_used and created_at > v_since
        order by created_at limit 1 for update skip locked);
    if not found then
      perform public.enter_change(new.user_id, 'change', 0, null, null, new.operation_type,
        v_metadata || jsonb_build_object('unpaid', new.credits_used));
    end if;
    return null;
  end if;

  delete from public.credit_usage where id = (
    select id from public.credit_usage
      where user_id = new.user_id and credits_used = new.credits_used and created_at > v_since
        and metadata ->> 'by' = 'deduct_credits'
      order by created_at limit 1 for update skip locked);
  if found then
    return new;
  end if;
  delete from public.credit_changes where id = (
    select id from public.credit_changes
      where user_id = new.user_id and kind = 'change' and reason is null and credits = -new.credits_used and created_at > v_since
      order by created_at limit 1 for update skip locked);
  if not found then
    new.metadata := v_metadata || jsonb_build_object('unpaid', new.credits_used);
    new.credits_used := 0;
  end if;
  return new;
end $$;

create or replace trigger match_entry before insert on public.credit_usage for each row
  when (new.run_id is null and new.user_id is not null and new.credits_used <> 0
    and new.metadata ->> 'by' is distinct from 'deduct_credits')
  execute function public.match_entry();

revoke execute on function public.match_entry() from public, anon, authenticated;
grant execute on function public.match_entry() to service_role;

-- schemas/ledger/note_change.sql

-- Enters every change of a balance that its writer has not entered: that of a payment's webhook, of a renewal, of SQL by hand.
-- The statement of a writer who has says so in credits_entered. Statements that only move credits between remaining and
-- reserved do not come here.
create or replace function public.note_change() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_before bigint := coalesce(old.credits_remaining, 0)::bigint + old.credits_reserved;
  v_after bigint := coalesce(new.credits_remaining, 0)::bigint + new.credits_reserved;
  v_entered bigint := new.credits_entered;
begin
  new.credits_entered := 0;
  if new.user_id is distinct from old.user_id then
    -- The balance was given to another user.
    perform public.enter_change(old.user_id, 'change', -v_before, old.credits_remaining, null) where old.user_id is not null;
    perform public.enter_change(new.user_id, 'change', v_after - v_entered, null, new.credits_remaining) where new.user_id is not null;
  elsif v_after - v_before <> v_entered and new.user_id is not null then
    perform public.enter_change(new.user_id, 'change', v_after - v_before - v_entered, old.credits_remaining, new.credits_remaining);
  end if;
  return new;
end $$;

create or replace trigger note_change before update on public.credit_balances for each row
  when (new.credits_entered <> 0 or old.user_id is distinct from new.user_id
    or coalesce(old.credits_remaining, 0)::bigint + old.credits_reserved
      <> coalesce(new.credits_remaining, 0)::bigint + new.credits_reserved)
  execute function public.note_change();

revoke execute on function public.note_change() from public, anon, authenticated;
grant execute on function public.note_change() to service_role;

-- schemas/ledger/open_balance.sql

-- Enters what a new balance comes with, as far as the ledger does not have it: a first one as the kind that the trigger names.
create or replace function public.open_balance() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_is_first boolean := not exists (
    select from public.credit_changes where user_id = new.user_id and kind in ('opening', 'sign_up'));
  v_credits bigint := coalesce(new.credits_remaining, 0)::bigint + new.credits_reserved
    - (select coalesce(sum(credits), 0) from public.credit_changes where user_id = new.user_id)
    + (select coalesce(sum(credits_used), 0) from public.credit_usage where user_id = new.user_id);
begin
  if v_is_first or v_credits <> 0 then
    perform public.enter_change(new.user_id, case when v_is_first then tg_argv[0] else 'change' end, v_credits, null,
      new.credits_remaining);
  end if;
  return null;
end $$;

create or replace trigger open_balance after insert on public.credit_balances for each row
  when (new.user_id is not null and current_user not in ('authenticated', 'anon')) execute function public.open_balance('opening');

-- A user's own insert: see force_first_balance.
create or replace trigger open_own_balance after insert on public.credit_balances for each row
  when (new.user_id is not null and current_user in ('authenticated', 'anon')) execute function public.open_balance('sign_up');

revoke execute on function public.open_balance() from public, anon, authenticated;
grant execute on function public.open_balance() to service_role;

-- schemas/responses/delete_response.sql

-- Deletes a response that has ended: what is kept of it, and the texts of its run, as the retention would erase them. The run
-- itself and the ledger stay. The caller may read the run as in get_run.
create or replace function public.delete_response(p_user_id uuid, p_run_id uuid, p_api_key_id uuid default null, p_visitor text default null) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_ended boolean;
begin
  select r.finished_at is not null into v_ended
    from public.agent_runs r where r.id = p_run_id and r.user_id = p_user_id
      and (p_api_key_id is null or (r.api_key_id = p_api_key_id and r.visitor is not distinct from p_visitor))
      and exists (select from public.agent_responses s where s.run_id = r.id)
    for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'response_not_found', message = 'There is no such response.';
  end if;
  if not v_ended then
    raise sqlstate 'PT409' using hint = 'response_under_way', message = 'The response has not ended yet: try again when it has.';
  end if;
  update public.agent_runs
    set response = '', idempotency_key = null, request_hash = '', erased = true,
        error = case when error is not null then jsonb_build_object('code', error ->> 'code', 'message', 'The run failed.') end
    where id = p_run_id;
  perform public.erase_texts(array[p_run_id]);
  return jsonb_build_object('deleted', true);
end $$;

revoke execute on function public.delete_response(uuid, uuid, uuid, text) from public, anon, authenticated;
grant execute on function public.delete_response(uuid, uuid, uuid, text) to service_role;

-- schemas/responses/get_previous_responses.sql

-- Returns the conversation that a response ends, {responses: [{runId, input, response}]}, the oldest first: that response, the one
-- that it continues, and so on. The caller may read them as in get_run.
--   p_limit      how many there may be
--   p_max_bytes  how many bytes of text they may have together
create or replace function public.get_previous_responses(
  p_user_id uuid,
  p_run_id uuid,
  p_limit integer,
  p_max_bytes integer,
  p_api_key_id uuid default null,
  p_visitor text default null
) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_next uuid := p_run_id;
  v_previous uuid;
  v_input jsonb;
  v_response text;
  v_ended boolean;
  v_bytes bigint := 0;
  v_found jsonb[] := '{}';
begin
  while v_next is not null loop
    select s.previous_id, s.input, r.response, r.finished_at is not null into v_previous, v_input, v_response, v_ended
      from public.agent_responses s join public.agent_runs r on r.id = s.run_id
      where r.id = v_next and r.user_id = p_user_id
        and (p_api_key_id is null or (r.api_key_id = p_api_key_id and r.visitor is not distinct from p_visitor));
    if not found then
      raise sqlstate 'PT404' using hint = 'previous_response_not_found',
        message = 'A response of this conversation is not there: it was deleted, has expired, or was not stored.';
    end if;
    if not v_ended then
      raise sqlstate 'PT409' using hint = 'response_under_way', message = 'The response has not ended yet: try again when it has.';
    end if;
    v_bytes := v_bytes + octet_length(v_input::text) + octet_length(v_response);
    if v_bytes > p_max_bytes or cardinality(v_found) >= p_limit then
      raise sqlstate 'PT413' using hint = 'conversation_too_long', message = 'This conversation is too long to go on: begin a new one.';
    end if;
    v_found := v_found || jsonb_build_object('runId', v_next, 'input', v_input, 'response', v_response);
    v_next := v_previous;
  end loop;
  return jsonb_build_object('responses', (select coalesce(jsonb_agg(f order by n desc), '[]') from unnest(v_found) with ordinality as t (f, n)));
end $$;

revoke execute on function public.get_previous_responses(uuid, uuid, integer, integer, uuid, text) from public, anon, authenticated;
grant execute on function public.get_previous_responses(uuid, uuid, integer, integer, uuid, text) to service_role;

-- schemas/responses/get_response.sql

-- Returns what is kept of a response beside its run, {previousId, details, input}, where the caller may read the run as in get_run.
-- `input` is null unless it is asked for.
create or replace function public.get_response(
  p_user_id uuid,
  p_run_id uuid,
  p_api_key_id uuid default null,
  p_visitor text default null,
  p_with_input boolean default false
) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_found jsonb;
begin
  select jsonb_build_object('previousId', s.previous_id, 'details', s.details, 'input', case when p_with_input then s.input end) into v_found
    from public.agent_responses s join public.agent_runs r on r.id = s.run_id
    where r.id = p_run_id and r.user_id = p_user_id
      and (p_api_key_id is null or (r.api_key_id = p_api_key_id and r.visitor is not distinct from p_visitor));
  if not found then
    raise sqlstate 'PT404' using hint = 'response_not_found', message = 'There is no such response.';
  end if;
  return v_found;
end $$;

revoke execute on function public.get_response(uuid, uuid, uuid, text, boolean) from public, anon, authenticated;
grant execute on function public.get_response(uuid, uuid, uuid, text, boolean) to service_role;

-- schemas/responses/store_response.sql

-- Keeps what belongs to a response beside its run, once: what is there stays, since a repeated request means the same response.
-- Returns {previousId, details} as they are kept.
create or replace function public.store_response(p_user_id uuid, p_run_id uuid, p_previous_id uuid, p_input jsonb, p_details jsonb) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
begin
  -- Who erases the run waits for this row, or has been here before: no text is left behind.
  perform from public.agent_runs where id = p_run_id and user_id = p_user_id and not erased for share;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  insert into public.agent_responses (run_id, previous_id, input, details) values (p_run_id, p_previous_id, p_input, p_details)
    on conflict (run_id) do nothing;
  return (select jsonb_build_object('previousId', previous_id, 'details', details) from public.agent_responses where run_id = p_run_id);
end $$;

revoke execute on function public.store_response(uuid, uuid, uuid, jsonb, jsonb) from public, anon, authenticated;
grant execute on function public.store_response(uuid, uuid, uuid, jsonb, jsonb) to service_role;

-- schemas/runs/adopt_run.sql

-- Gives a run that was begun without an owner to the calling process.
--   p_waiting  true if no slot is free: the run stays `queued`
--   p_python   true if this process can run agents written in Python
--   p_repeated  true if the same call was made before and its answer was lost: a run that is already this process's is
--              given to it again
--   p_inline_bytes, p_max_per_user, p_room  see begin_run
-- Returns the same as begin_run, also null; `joined` is true if the run has or had an owner, or has ended.
create or replace function public.adopt_run(
  p_user_id uuid, p_run_id uuid, p_owner uuid, p_lease_seconds numeric, p_waiting boolean default false,
  p_python boolean default false, p_repeated boolean default false, p_inline_bytes integer default null,
  p_max_per_user integer default null, p_room bigint default null
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
  v_input jsonb;
  v_bytes integer;
  v_joined boolean;
begin
  select * into v_run from public.agent_runs where id = p_run_id and user_id = p_user_id for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  select input, coalesce(bytes, octet_length(input::text)) into v_input, v_bytes
    from public.agent_run_inputs where run_id = p_run_id;
  v_joined := (v_run.owner is not null and not (p_repeated and v_run.owner = p_owner)) or v_run.attempt > 1 or v_run.finished_at is not null;
  if not v_joined then
    if v_input -> 'agent' ->> 'executor' = 'python' and not p_python then
      if p_max_per_user is not null then
        return null;
      end if;
      raise sqlstate 'PT503' using hint = 'python_unavailable',
        message = 'This agent is not available right now.';
    end if;
    if p_max_per_user is not null and not public.may_begin_here(p_user_id, p_max_per_user, v_bytes, p_python, p_room, p_inline_bytes) then
      return null;
    end if;
    update public.agent_runs
      set owner = p_owner, lease_until = now() + make_interval(secs => p_lease_seconds),
          status = case when p_waiting then 'queued' else 'running' end,
          started_at = case when p_waiting then null else now() end
      where id = p_run_id
      returning * into v_run;
  end if;
  return jsonb_build_object('run', public.run_json(v_run), 'joined', v_joined,
    'rates', v_input -> 'rates', 'cached', v_input -> 'cached', 'inputBytes', v_bytes,
    'agent', case when octet_length((v_input -> 'agent')::text) <= coalesce(p_inline_bytes, 2147483647) then v_input -> 'agent' end);
end $$;

revoke execute on function public.adopt_run(uuid, uuid, uuid, numeric, boolean, boolean, boolean, integer, integer, bigint)
  from public, anon, authenticated;
grant execute on function public.adopt_run(uuid, uuid, uuid, numeric, boolean, boolean, boolean, integer, integer, bigint) to service_role;

-- schemas/runs/begin_run.sql

-- Begins a run. One transaction checks the idempotency key, reads the agent, reserves the credits and writes the run.
--   p_input   {messages, functionResults, responseFormat, kind, traceContext}; it is kept so that another process can begin the run again
--   p_owner   the process that owns the run; null means that no process owns it until one adopts it or its lease ends
--   p_agent   the agent's configuration, given by a caller that has checked the user and the credits itself; the run is
--             then never charged, and the table of agents is not read
--   p_waiting true if no slot is free: the run begins as `queued`
--   p_python  true if the calling service can run agents written in Python
--   p_models  first the model for agents that name none, then the models to fall back to
--   p_api_key_id, p_visitor  the API key that begins the run and its visitor, if it is not the user's session. A key executes
--             published agents within its limits, and its idempotency keys are its own, and each visitor's
--   p_run_id  the id of the new run. A call whose answer was lost may be repeated with it: see begun_before
--   p_prompt_tokens  how many tokens the messages have, estimated; where tokens cost something, they are reserved for
--   p_inline_bytes  an agent with more bytes of JSON is not returned: get_run_input returns it when the run has its slot
--   p_max_per_user, p_room  if the first is given, the run begins at the owner only where it may, see may_begin_here, and the owner
--             can execute it; otherwise nothing is done, and null is returned: the run has to begin without an owner, and wait
--   p_is_repeated, p_waited_ms  if the first is given, the client repeats requests without keys, and this one is, or is none, a
--             repetition; it arrived so long ago. A repetition joins the run of its request, and a request whose repetition came
--             in before it joins that one's
-- Returns {run, agent, rates, cached, joined, inputBytes}; the last is the size of what get_run_input returns. `joined` is
-- true if the key has begun this run before; then nothing is
-- done. `cached` is {response, finishReason, model} of an earlier run with the same request, or null.
create or replace function public.begin_run(
  p_user_id uuid,
  p_agent_id uuid,
  p_request_hash text,
  p_input jsonb,
  p_owner uuid,
  p_lease_seconds numeric,
  p_idempotency_key text default null,
  p_agent jsonb default null,
  p_waiting boolean default false,
  p_python boolean default false,
  p_models jsonb default '[""]',
  p_api_key_id uuid default null,
  p_visitor text default null,
  p_run_id uuid default null,
  p_prompt_tokens integer default 0,
  p_inline_bytes integer default null,
  p_max_per_user integer default null,
  p_room bigint default null,
  p_is_repeated boolean default null,
  p_waited_ms double precision default 0
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
  v_run_id uuid := coalesce(p_run_id, gen_random_uuid());
  v_agent jsonb := p_agent;
  v_cache_seconds integer;
  v_is_kept boolean;
  v_models jsonb;
  v_rates jsonb;
  v_cache_key text;
  v_cached jsonb;
  v_credits integer := 0;
  v_before jsonb;
  v_input jsonb;
  v_bytes integer;
begin
  if p_run_id is not null then
    v_before := public.begun_before(p_user_id, p_run_id, p_owner, p_lease_seconds, p_inline_bytes);
    if v_before is not null then
      return v_before;
    end if;
  end if;

  if p_idempotency_key is not null then
    -- If two requests with the same key arrive at once, the second waits here until the row of the first exists.
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(
      p_user_id || coalesce(p_api_key_id || coalesce(p_visitor, ''), '') || p_idempotency_key, 0));
    select * into v_run from public.agent_runs
      where user_id = p_user_id and idempotency_key = p_idempotency_key
        and api_key_id is not distinct from p_api_key_id and visitor is not distinct from p_visitor;
    if found then
      if v_run.request_hash <> p_request_hash then
        raise sqlstate 'PT422' using hint = 'idempotency_key_reused',
          message = 'This Idempotency-Key was used before with another request.';
      end if;
      return jsonb_build_object('run', public.run_json(v_run), 'agent', null, 'joined', true);
    end if;
  end if;

  if p_is_repeated is not null then
    -- A request and its repetition may begin at once, in either order: the second waits here until the run of the first exists. One
    -- lock a user, since calls that share a transaction are in the order of their users.
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('requests of ' || p_user_id, 0));
    v_before := public.find_equal_run(p_user_id, p_api_key_id, p_visitor, p_request_hash, case when not p_is_repeated then p_waited_ms end);
    if v_before is not null then
      return jsonb_build_object('run', v_before, 'agent', null, 'joined', true);
    end if;
  end if;

  if p_api_key_id is not null then
    perform public.require_agent_of_key(p_user_id, p_api_key_id, p_agent_id);
  end if;
  if v_agent is null then
    -- Of what is larger than its author may write, from before the limits, a little more is read than is used: the service tells.
    -- The JSON is built by the query: a row variable would bind the session's plan to the types of the columns, which the
    -- platform may change.
    select jsonb_build_object(
        'name', left(a.name, 1001), 'systemPrompt', left(a.system_prompt, 200001), 'model', left(a.ai_model, 201), 'temperature', case when a.temperature between -1000 and 1000 then a.temperature end,
        'maxTokens', case when a.max_tokens > 0 then a.max_tokens end,
        'knowledgeBase', coalesce((select c.knowledge from public.agent_knowledge_cuts c where c.agent_id = a.id), public.fit_knowledge(to_jsonb(a.knowledge_base))),
        'executor', a.executor, 'entrypoint', a.entrypoint, 'maxSteps', a.max_steps,
        'functions', (select coalesce(jsonb_agg(jsonb_build_object('name', left(f.name, 201), 'description', left(f.description, 4001),
            'type', left(f.function_type::text, 101), 'triggerKeywords', to_jsonb(coalesce(f.trigger_keywords, '{}')),
            'config', case when jsonb_typeof(f.config) = 'object' then f.config else '{}' end)
            order by f.execution_order, f.name), '[]')
          from (select * from public.agent_functions f where f.agent_id = a.id and coalesce(f.is_enabled, true)
            order by f.execution_order, f.name limit 101) f)),
        a.cache_seconds, a.cache_seconds > 0 and a.temperature = 0
      into v_agent, v_cache_seconds, v_is_kept
      from public.agents a where a.id = p_agent_id and (a.is_published or (a.user_id = p_user_id and p_api_key_id is null));
    if not found then
      raise sqlstate 'PT404' using hint = 'agent_not_found', message = 'There is no such agent.';
    end if;
    if v_agent ->> 'executor' = 'python' and not p_python then
      if p_max_per_user is not null then
        return null;
      end if;
      raise sqlstate 'PT503' using hint = 'python_unavailable',
        message = 'This agent is not available right now.';
    end if;
  end if;
  -- An agent's own model replaces the default model. Agents written in Python have the rate of "python".
  v_models := case
    when v_agent ->> 'executor' = 'python' then '["python"]'
    when v_agent ->> 'model' is null then p_models
    else jsonb_set(p_models, '{0}', v_agent -> 'model') end;

  v_rates := public.rates_of(v_models);

  if v_is_kept then
    v_cache_key := encode(sha256(convert_to(v_agent::text || v_models || p_request_hash, 'UTF8')), 'hex');
    select jsonb_build_object('response', response, 'finishReason', finish_reason, 'model', model) into v_cached
      from public.response_cache where key = v_cache_key and expires_at > now() and finish_reason = 'stop';
  end if;

  v_input := p_input || jsonb_build_object('agent', v_agent, 'rates', v_rates, 'cached', v_cached);
  v_bytes := octet_length(v_input::text);
  if p_max_per_user is not null then
    -- The balance, which is reserved from below, is locked before the slots: a call that waits for a balance holds up no claims.
    if p_agent is null and v_cached is null then
      perform from public.credit_balances where user_id = p_user_id for no key update;
    end if;
    if not public.may_begin_here(p_user_id, p_max_per_user, v_bytes, p_python, p_room, p_inline_bytes) then
      return null;
    end if;
  end if;

  if p_agent is null and v_cached is null then
    perform public.check_plan_limits(p_user_id, case when p_api_key_id is null then p_idempotency_key end);
    v_credits := public.credits_to_reserve(v_agent, v_rates -> coalesce(v_models ->> 0, '*'), p_prompt_tokens);
  end if;
  if v_credits > 0 and not public.reserve_credits(p_user_id, v_credits) then
    -- A key does not read its owner's balance.
    if p_api_key_id is not null then
      raise sqlstate 'PT402' using hint = 'insufficient_credits', message = 'There are not enough credits.';
    end if;
    raise sqlstate 'PT402' using hint = 'insufficient_credits',
      message = format('There are not enough credits (needed: %s, left: %s).', v_credits, public.credits_left(p_user_id));
  end if;
  if p_api_key_id is not null then
    perform public.check_key_budget(p_api_key_id, v_credits);
  end if;

  insert into public.agent_runs
      (id, user_id, agent_id, status, idempotency_key, request_hash, model, credits_reserved, is_charged, is_cached, cache_key,
        cache_seconds, started_at, owner, lease_until, api_key_id, visitor)
    values (v_run_id, p_user_id, p_agent_id, case when p_waiting then 'queued' else 'running' end,
      coalesce(p_idempotency_key, case when p_is_repeated then 'repeated:' || v_run_id end),
      p_request_hash, v_agent ->> 'model', v_credits, p_agent is null and v_cached is null, v_cached is not null,
      case when v_cached is null then v_cache_key end, v_cache_seconds,
      case when p_waiting then null else now() end, p_owner, now() + make_interval(secs => p_lease_seconds), p_api_key_id, p_visitor)
    returning * into v_run;
  insert into public.agent_run_inputs (run_id, input, bytes) values (v_run.id, v_input, v_bytes);
  return jsonb_build_object('run', public.run_json(v_run), 'rates', v_rates, 'cached', v_cached, 'joined', false,
    'agent', case when v_bytes <= p_inline_bytes or octet_length(v_agent::text) <= coalesce(p_inline_bytes, 2147483647) then v_agent end,
    'inputBytes', v_bytes);
end $$;

revoke execute on function
  public.begin_run(uuid, uuid, text, jsonb, uuid, numeric, text, jsonb, boolean, boolean, jsonb, uuid, text, uuid, integer, integer,
    integer, bigint, boolean, double precision)
  from public, anon, authenticated;
grant execute on function
  public.begin_run(uuid, uuid, text, jsonb, uuid, numeric, text, jsonb, boolean, boolean, jsonb, uuid, text, uuid, integer, integer,
    integer, bigint, boolean, double precision)
  to service_role;

-- schemas/runs/begun_before.sql

-- Returns what begin_run answered for a run that an earlier call with the same id has begun, whose answer was lost; null if
-- there is none. `joined` is false while the first attempt is still the caller's: nobody has begun to make it, so that
-- the caller does, and its lease begins anew. It is true if another process has taken the run over, or it has ended.
create or replace function public.begun_before(p_user_id uuid, p_run_id uuid, p_owner uuid, p_lease_seconds numeric, p_inline_bytes integer default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
  v_input jsonb;
  v_bytes integer;
  v_joined boolean;
begin
  -- The transaction of the call before may still be under way: its connection may have broken on this side alone.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(p_run_id::text, 0));
  select * into v_run from public.agent_runs where id = p_run_id and user_id = p_user_id for update;
  if not found then
    return null;
  end if;
  v_joined := v_run.owner is distinct from p_owner or v_run.attempt > 1 or v_run.finished_at is not null;
  if not v_joined then
    update public.agent_runs set lease_until = now() + make_interval(secs => p_lease_seconds) where id = p_run_id;
  end if;
  select input, coalesce(bytes, octet_length(input::text)) into v_input, v_bytes
    from public.agent_run_inputs where run_id = p_run_id;
  return jsonb_build_object('run', public.run_json(v_run), 'rates', v_input -> 'rates', 'cached', v_input -> 'cached',
    'joined', v_joined, 'inputBytes', v_bytes,
    'agent', case when octet_length((v_input -> 'agent')::text) <= coalesce(p_inline_bytes, 2147483647) then v_input -> 'agent' end);
end $$;

revoke execute on function public.begun_before(uuid, uuid, uuid, numeric, integer) from public, anon, authenticated;
grant execute on function public.begun_before(uuid, uuid, uuid, numeric, integer) to service_role;

-- schemas/runs/cancel_run.sql

-- Cancels a run. The process that owns it learns of this by its next heartbeat. If no living process owns the run, it ends
-- here and costs nothing. For an API key, or a visitor of it, there are only the runs that it has begun.
create or replace function public.cancel_run(p_user_id uuid, p_run_id uuid, p_api_key_id uuid default null, p_visitor text default null) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
begin
  select * into v_run from public.agent_runs where id = p_run_id and user_id = p_user_id
    and (p_api_key_id is null or (api_key_id = p_api_key_id and visitor is not distinct from p_visitor)) for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  if public.is_abandoned(v_run) then
    -- The cancellation is a new attempt, so that readers drop the text of the attempt before.
    update public.agent_runs set attempt = attempt + 1 where id = p_run_id returning * into v_run;
    return public.finish_run(v_run.id, v_run.attempt, 'cancelled', '', null, null, 0, null, null) - 'userWaits';
  end if;
  update public.agent_runs set cancel_requested = true where id = p_run_id and finished_at is null;
  return public.run_json(v_run);
end $$;

revoke execute on function public.cancel_run(uuid, uuid, uuid, text) from public, anon, authenticated;
grant execute on function public.cancel_run(uuid, uuid, uuid, text) to service_role;

-- schemas/runs/compress_texts.sql

-- Compresses the texts of runs with LZ4, which takes a fourth of the time of PostgreSQL's own pglz; rows from before stay as they
-- are. A server that was built without LZ4 goes on with pglz. Nothing is locked where it is done.
do $$
declare
  v_column record;
begin
  for v_column in
    select a.attrelid::regclass as of_table, a.attname from pg_catalog.pg_attribute a
      where (a.attrelid, a.attname) in (
          ('public.agent_runs'::regclass, 'response'), ('public.agent_run_inputs'::regclass, 'input'),
          ('public.agent_run_checkpoints'::regclass, 'record'), ('public.agent_run_checkpoints'::regclass, 'told'),
          ('public.agent_run_traces'::regclass, 'trace'), ('public.response_cache'::regclass, 'response'),
          ('public.agent_knowledge_cuts'::regclass, 'knowledge'))
        and a.attcompression <> 'l'
  loop
    execute format('alter table %s alter column %I set compression lz4', v_column.of_table, v_column.attname);
  end loop;
exception when feature_not_supported then
  null;
end $$;

-- schemas/runs/drop_run.sql

-- Ends a run that no process could be found for; it costs nothing. A run that has an owner or has ended stays as it is.
create or replace function public.drop_run(p_user_id uuid, p_run_id uuid, p_error jsonb) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
begin
  select * into v_run from public.agent_runs where id = p_run_id and user_id = p_user_id for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  if v_run.owner is not null or v_run.finished_at is not null then
    return public.run_json(v_run);
  end if;
  return public.finish_run(p_run_id, v_run.attempt, 'failed', '', null, null, 0, null, p_error) - 'userWaits';
end $$;

revoke execute on function public.drop_run(uuid, uuid, jsonb) from public, anon, authenticated;
grant execute on function public.drop_run(uuid, uuid, jsonb) to service_role;

-- schemas/runs/erase_by_periods.sql

-- Erases the texts of runs and firings of those users and agents whose own period is shorter than p_days and over, at most p_limit of
-- each a period, of the next 20 periods behind p_after, and of fewer once that has taken three seconds, so that a call is short however many there are. A period that fails costs the others nothing.
-- Returns {next, more}: where to go on, null at the end; and whether one of them may have more to erase.
create or replace function public.erase_by_periods(p_days numeric, p_limit integer, p_after bigint default 0) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_period record;
  v_erased jsonb;
  v_next bigint;
  v_count integer := 0;
  v_more boolean := false;
  v_is_late boolean := false;
begin
  for v_period in select * from public.retention_periods where days < p_days and id > p_after order by id limit 20 loop
    v_count := v_count + 1;
    v_next := v_period.id;
    begin
      v_erased := public.erase_runs_of(v_period.user_id, v_period.agent_id, now() - make_interval(secs => v_period.days * 86400), p_limit);
      v_more := v_more or greatest((v_erased ->> 'erased')::integer, (v_erased ->> 'firings')::integer) >= p_limit;
    exception when others then
      raise warning 'the texts of retention period % are not erased: %', v_period.id, sqlerrm;
    end;
    v_is_late := clock_timestamp() > now() + interval '3 seconds';
    exit when v_is_late;
  end loop;
  return jsonb_build_object('next', case when v_count = 20 or v_is_late then v_next end, 'more', v_more);
end $$;

revoke execute on function public.erase_by_periods(numeric, integer, bigint) from public, anon, authenticated;
grant execute on function public.erase_by_periods(numeric, integer, bigint) to service_role;

-- schemas/runs/erase_old_runs.sql

-- Erases the texts of runs that ended more than p_days ago, and of firings, at most p_limit of each a call, together with
-- expired cached responses, tickets that nobody has used for a week, workers that have been gone for a day, and refusals of schedules as old. The runs themselves and
-- the ledger stay.
-- Returns {erased}: the number of runs, or that of firings if it is larger.
create or replace function public.erase_old_runs(p_days numeric, p_limit integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_ids uuid[];
  v_before constant timestamptz := now() - make_interval(secs => p_days * 86400);
  v_firings integer := 0;
begin
  select array_agg(id) into v_ids from (
    select id from public.agent_runs
      where finished_at <= v_before and not erased
      order by finished_at limit p_limit for update skip locked) as old;
  perform public.erase_runs(v_ids);
  v_firings := public.erase_old_firings(v_before, p_limit);
  delete from public.agent_workers where greatest(lease_until, seen_at) < now() - interval '1 day';
  delete from public.response_cache where expires_at < now();
  delete from public.access_tickets where expires_at < now() - interval '1 day' and coalesce(used_at < now() - interval '7 days', true);
  delete from public.schedule_refusals where since < now() - interval '1 day';
  return jsonb_build_object('erased', greatest(coalesce(cardinality(v_ids), 0), v_firings));
end $$;

revoke execute on function public.erase_old_runs(numeric, integer) from public, anon, authenticated;
grant execute on function public.erase_old_runs(numeric, integer) to service_role;

-- schemas/runs/erase_runs.sql

-- Erases the texts of runs that have ended: what their rows have, and what erase_texts finds in other tables. The runs themselves
-- and the ledger stay.
create or replace function public.erase_runs(p_run_ids uuid[]) returns void
language plpgsql security definer set search_path = '' as $$
begin
  -- A caller's key may be a text too. The code of an error stays, and its sentence, which a program may have worded, goes.
  update public.agent_runs
    set response = '', idempotency_key = null, request_hash = '', erased = true,
        error = case when error is not null then jsonb_build_object('code', error ->> 'code', 'message', 'The run failed.') end
    where id = any (p_run_ids);
  perform public.erase_texts(p_run_ids);
end $$;

revoke execute on function public.erase_runs(uuid[]) from public, anon, authenticated;
grant execute on function public.erase_runs(uuid[]) to service_role;

-- schemas/runs/erase_runs_of.sql

-- Erases the texts of a user's runs and firings, or of an agent's, that ended before a time, at most p_limit of each. The runs themselves
-- and the ledger stay. Returns {erased, firings}: how many runs and firings.
create or replace function public.erase_runs_of(p_user_id uuid, p_agent_id uuid, p_before timestamptz, p_limit integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_ids uuid[];
begin
  -- One query for each, so that it has the index of what it looks for.
  if p_user_id is not null then
    select array_agg(id) into v_ids from (
      select id from public.agent_runs
        where user_id = p_user_id and finished_at is not null and finished_at <= p_before and not erased
        order by finished_at limit p_limit for update skip locked) as ended;
  else
    select array_agg(id) into v_ids from (
      select id from public.agent_runs
        where agent_id = p_agent_id and finished_at is not null and finished_at <= p_before and not erased
        order by finished_at limit p_limit for update skip locked) as ended;
  end if;
  perform public.erase_runs(v_ids);
  return jsonb_build_object('erased', coalesce(cardinality(v_ids), 0), 'firings', public.erase_firings(p_before, p_limit, p_user_id, p_agent_id));
end $$;

revoke execute on function public.erase_runs_of(uuid, uuid, timestamp with time zone, integer) from public, anon, authenticated;
grant execute on function public.erase_runs_of(uuid, uuid, timestamp with time zone, integer) to service_role;

-- schemas/runs/erase_texts.sql

-- Erases what runs that have ended left in tables of their own: inputs, traces, reasons of failures, checkpoints, what clients
-- have kept with a response, names of chats and, as a model wrote them, of tools, and their responses in the cache.
-- docs/reference/texts.md lists every place.
create or replace function public.erase_texts(p_run_ids uuid[]) returns void
language plpgsql security definer set search_path = '' as $$
begin
  delete from public.agent_run_inputs where run_id = any (p_run_ids);
  delete from public.agent_run_traces where run_id = any (p_run_ids);
  delete from public.agent_run_failures where run_id = any (p_run_ids);
  delete from public.agent_responses where run_id = any (p_run_ids);
  delete from public.agent_run_chats where run_id = any (p_run_ids);
  delete from public.agent_run_checkpoints where run_id = any (p_run_ids);
  update public.agent_run_steps set name = null where run_id = any (p_run_ids) and kind = 'tool';
  delete from public.response_cache
    where key in (select cache_key from public.agent_runs where id = any (p_run_ids) and cache_key is not null);
end $$;

revoke execute on function public.erase_texts(uuid[]) from public, anon, authenticated;
grant execute on function public.erase_texts(uuid[]) to service_role;

-- schemas/runs/erase_user.sql

-- Erases what a deleted user asked and was answered, and the ledger, from all tables, whatever foreign keys a project has. The
-- runs themselves stay, without texts. A run under way ends here: its process is refused whatever it still writes.
-- lock_user has locked what finish_run would wait for.
create or replace function public.erase_user() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_ids uuid[];
begin
  -- Runs before firings and balances, as in finish_run.
  update public.agent_runs
    set status = case when finished_at is null then 'cancelled' else status end,
        attempt = case when finished_at is null then attempt + 1 else attempt end,
        finished_at = coalesce(finished_at, clock_timestamp()), owner = null, lease_until = null, credits_reserved = 0,
        response = '', error = null, idempotency_key = null, request_hash = '', erased = true
    where user_id = old.id;
  select array_agg(id) into v_ids from public.agent_runs where user_id = old.id;
  perform public.erase_texts(v_ids);
  delete from public.scheduled_runs
    where run_id = any (v_ids) or user_id = old.id or request ->> 'userId' = old.id::text
      or schedule_id in (select id from public.agent_schedules where user_id = old.id);
  delete from public.agent_schedules where user_id = old.id;
  delete from public.schedule_refusals where user_id = old.id;
  delete from public.access_tickets where user_id = old.id;
  delete from public.credit_balances where user_id = old.id;
  delete from public.credit_usage where user_id = old.id;
  delete from public.credit_changes where user_id = old.id;
  return null;
end $$;

revoke execute on function public.erase_user() from public, anon, authenticated;
grant execute on function public.erase_user() to service_role;

do $$
begin
  create or replace trigger erase_user after delete on auth.users for each row execute function public.erase_user();
exception when insufficient_privilege then
  raise notice 'This role may not create triggers on auth.users: delete what users leave with erase_user by another role';
end $$;

-- schemas/runs/find_chat_run.sql

-- Returns the latest run that answers a chat, {run, protocol, told, pageRun}, or, if no chat has this name, the run of this id, of
-- which all but the run may be null; null if there is none that the caller may read, as in get_run.
--   p_unfinished  only a run that has not ended
create or replace function public.find_chat_run(
  p_user_id uuid,
  p_chat_id text,
  p_api_key_id uuid default null,
  p_visitor text default null,
  p_unfinished boolean default false
) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_found jsonb;
begin
  select jsonb_build_object('run', public.run_json(r), 'protocol', c.protocol, 'told', c.told, 'pageRun', c.page_run) into v_found
    from public.agent_run_chats c join public.agent_runs r on r.id = c.run_id
    where c.user_id = p_user_id and c.chat_id = p_chat_id
      and (p_api_key_id is null or (r.api_key_id = p_api_key_id and r.visitor is not distinct from p_visitor))
      and not (p_unfinished and r.finished_at is not null)
    order by c.created_at desc, c.run_id desc limit 1;
  if not found and p_chat_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
    select jsonb_build_object('run', public.run_json(r), 'protocol', c.protocol, 'told', c.told, 'pageRun', c.page_run) into v_found
      from public.agent_runs r left join public.agent_run_chats c on c.run_id = r.id
      where r.id = p_chat_id::uuid and r.user_id = p_user_id
        and (p_api_key_id is null or (r.api_key_id = p_api_key_id and r.visitor is not distinct from p_visitor))
        and not (p_unfinished and r.finished_at is not null);
  end if;
  return v_found;
end $$;

revoke execute on function public.find_chat_run(uuid, text, uuid, text, boolean) from public, anon, authenticated;
grant execute on function public.find_chat_run(uuid, text, uuid, text, boolean) to service_role;

-- schemas/runs/find_equal_run.sql

-- Returns the latest run that a caller, as in begin_run, has begun in the last hour with a request of this hash; null if there
-- is none.
--   p_waited_ms  if given, only a run that a repetition of the request has begun, while this one waited for so long
create or replace function public.find_equal_run(
  p_user_id uuid, p_api_key_id uuid, p_visitor text, p_request_hash text, p_waited_ms double precision default null
) returns jsonb
language sql stable security definer set search_path = '' as $$
  select public.run_json(r) from public.agent_runs r
    where r.user_id = p_user_id and r.created_at > now() - coalesce(make_interval(secs => p_waited_ms / 1000), interval '1 hour')
      and r.request_hash = p_request_hash and (p_waited_ms is null or starts_with(r.idempotency_key, 'repeated:'))
      and r.api_key_id is not distinct from p_api_key_id and r.visitor is not distinct from p_visitor
    order by r.created_at desc, r.id desc limit 1
$$;

revoke execute on function public.find_equal_run(uuid, uuid, text, text, double precision) from public, anon, authenticated;
grant execute on function public.find_equal_run(uuid, uuid, text, text, double precision) to service_role;

-- schemas/runs/finish_run.sql

-- Ends a run. One transaction writes the result and the last step, settles the reservation, enters the charge in the
-- ledger and caches the response. Credits beyond the reservation are taken as far as the balance allows.
-- The run keeps its owner, whose log has more of it than the database: the results of tools, for readers that come late.
-- The first call returns `userWaits` with the run if another run of the user waits, perhaps for the end of this one: then true.
-- A repeated call returns what the first call did. A call by an attempt that no longer owns the run is refused.
--   p_credits        what the run cost; at most the reservation, as extended, is charged
--   p_error          {code, message, reason?}; admins alone read the reason
--   p_trace          the events from which the run can be replayed
--   p_keep_messages  true keeps the messages of the run's input
create or replace function public.finish_run(
  p_run_id uuid,
  p_attempt integer,
  p_status text,
  p_response text,
  p_finish_reason text,
  p_usage jsonb,
  p_credits integer,
  p_model text,
  p_error jsonb,
  p_trace jsonb default null,
  p_keep_messages boolean default false
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
  v_credits integer;
  v_charged integer;
  v_steps integer := 0;
  v_last_at timestamptz;
  v_prompt bigint := 0;
  v_completion bigint := 0;
  v_total bigint := 0;
begin
  -- The entry in the ledger needs the user's row. A deletion of the user has it before it waits for the run, so it comes first.
  if has_table_privilege('auth.users', 'update') then
    perform from auth.users where id = (select user_id from public.agent_runs where id = p_run_id) for key share;
  end if;
  select * into v_run from public.agent_runs where id = p_run_id for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  if v_run.attempt <> p_attempt then
    raise sqlstate 'PT409' using hint = 'stale_attempt', message = 'Another attempt has taken this run over.';
  end if;
  if v_run.status in ('succeeded', 'failed', 'cancelled') then
    return public.run_json(v_run);
  end if;

  -- A run that is ended from outside costs at least its recorded steps, even if a new attempt has not reported them yet.
  v_credits := greatest(coalesce(p_credits, 0),
    case when p_status = 'cancelled' or p_error ->> 'code' = 'run_timeout' then v_run.credits_used else 0 end);
  if v_credits > v_run.credits_reserved then
    v_run.credits_reserved := public.extend_reservation(p_run_id, v_credits);
  end if;
  v_charged := greatest(0, least(v_credits, v_run.credits_reserved));
  if v_run.credits_reserved > 0 then
    update public.credit_balances
      set credits_reserved = greatest(0, credits_reserved - v_run.credits_reserved),
          credits_remaining = credits_remaining + v_run.credits_reserved - v_charged,
          credits_used_this_month = coalesce(credits_used_this_month, 0) + v_charged,
          credits_entered = -v_charged
      where user_id = v_run.user_id;
    -- Without a balance, which somebody has deleted in the meantime, there is nothing to charge.
    if not found then
      v_charged := 0;
    end if;
  end if;
  if v_charged > 0 then
    insert into public.credit_usage (user_id, agent_id, run_id, credits_used, operation_type, metadata)
      values (v_run.user_id, (select id from public.agents where id = v_run.agent_id for key share), v_run.id, v_charged,
        'agent_execution', jsonb_build_object('model', p_model, 'status', p_status, 'usage', p_usage));
  end if;
  update public.agent_runs
    set status = p_status, response = p_response, finish_reason = p_finish_reason, usage = p_usage,
        model = coalesce(p_model, model), error = public.note_failure(p_run_id, p_error), credits_reserved = 0, credits_charged = v_charged,
        finished_at = clock_timestamp(), lease_until = null
    where id = p_run_id
    returning * into v_run;
  -- The usage of the last step is the total less the earlier steps; few runs have any.
  if exists (select from public.agent_run_steps where run_id = p_run_id) then
    select coalesce(max(step), 0), max(finished_at), coalesce(sum((usage ->> 'promptTokens')::integer), 0),
        coalesce(sum((usage ->> 'completionTokens')::integer), 0), coalesce(sum((usage ->> 'totalTokens')::integer), 0)
      into v_steps, v_last_at, v_prompt, v_completion, v_total
      from public.agent_run_steps where run_id = p_run_id;
  end if;
  if (p_usage ->> 'totalTokens')::integer - v_total > 0 then
    insert into public.agent_run_steps (run_id, step, attempt, kind, name, finish_reason, usage, started_at, finished_at)
      values (p_run_id, v_steps + 1, p_attempt, 'model', v_run.model, p_finish_reason, p_usage || jsonb_build_object(
          'promptTokens', (p_usage ->> 'promptTokens')::integer - v_prompt,
          'completionTokens', (p_usage ->> 'completionTokens')::integer - v_completion,
          'totalTokens', (p_usage ->> 'totalTokens')::integer - v_total),
        coalesce(v_last_at, v_run.started_at), v_run.finished_at);
  end if;
  delete from public.agent_run_checkpoints where run_id = p_run_id;
  -- The agent, which belongs to its author, is not kept in any case.
  if p_keep_messages then
    update public.agent_run_inputs set input = input - array['agent', 'rates', 'cached'] where run_id = p_run_id;
  else
    delete from public.agent_run_inputs where run_id = p_run_id;
  end if;
  if p_trace is not null then
    insert into public.agent_run_traces (run_id, trace) values (p_run_id, p_trace);
  end if;
  -- Only a whole answer is kept for others: one that was cut off, filtered, or ended without saying how is not.
  if v_run.cache_key is not null and p_status = 'succeeded' and p_response <> '' and p_finish_reason = 'stop' then
    insert into public.response_cache (key, agent_id, response, finish_reason, model, expires_at)
      select v_run.cache_key, id, p_response, p_finish_reason, p_model, now() + make_interval(secs => v_run.cache_seconds)
        from public.agents where id = v_run.agent_id
      on conflict (key) do update set response = excluded.response, finish_reason = excluded.finish_reason,
        model = excluded.model, expires_at = excluded.expires_at;
  end if;
  return case
    when exists (select from public.agent_runs
      where user_id = v_run.user_id and finished_at is null and (owner is null or lease_until = '-infinity'))
    then public.run_json(v_run) || '{"userWaits": true}'
    else public.run_json(v_run) end;
end $$;

revoke execute on function public.finish_run(uuid, integer, text, text, text, jsonb, integer, text, jsonb, jsonb, boolean)
  from public, anon, authenticated;
grant execute on function public.finish_run(uuid, integer, text, text, text, jsonb, integer, text, jsonb, jsonb, boolean)
  to service_role;

-- schemas/runs/get_chat_messages.sql

-- Returns what a page has sent with a run of a chat, {bytes, messages}, where it is kept and the caller may read the run as in get_run;
-- otherwise null. `messages` is null if it has more than `p_max_bytes` bytes as JSON.
create or replace function public.get_chat_messages(
  p_user_id uuid,
  p_run_id uuid,
  p_max_bytes integer,
  p_api_key_id uuid default null,
  p_visitor text default null
) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_messages jsonb;
  v_bytes integer;
begin
  select c.messages, octet_length(c.messages::text) into v_messages, v_bytes
    from public.agent_run_chats c join public.agent_runs r on r.id = c.run_id
    where r.id = p_run_id and r.user_id = p_user_id and c.messages is not null
      and (p_api_key_id is null or (r.api_key_id = p_api_key_id and r.visitor is not distinct from p_visitor));
  if not found then
    return null;
  end if;
  return jsonb_build_object('bytes', v_bytes, 'messages', case when v_bytes <= p_max_bytes then v_messages end);
end $$;

revoke execute on function public.get_chat_messages(uuid, uuid, integer, uuid, text) from public, anon, authenticated;
grant execute on function public.get_chat_messages(uuid, uuid, integer, uuid, text) to service_role;

-- schemas/runs/get_ended_runs.sql

-- Returns those of the given runs that have ended, with the traces from which their events are replayed: [{run, trace}], until
-- they have batch_bytes; the caller asks again for the others. A run that cannot be returned whole has the beginning of its
-- response and no trace.
create or replace function public.get_ended_runs(p_run_ids jsonb) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
  v_one jsonb;
  v_ended jsonb[] := '{}';
  v_bytes bigint := 0;
begin
  for v_run in
    select r.* from jsonb_array_elements_text(p_run_ids) with ordinality as wanted (id, n)
      join public.agent_runs r on r.id = wanted.id::uuid and r.finished_at is not null
      order by n
  loop
    begin
      v_one := jsonb_build_object('run', public.run_json(v_run),
        'trace', (select trace from public.agent_run_traces where run_id = v_run.id));
    exception when others then
      raise warning 'run % cannot be returned whole: %', v_run.id, sqlerrm;
      v_run.response := left(v_run.response, 100000);
      v_one := jsonb_build_object('run', public.run_json(v_run), 'trace', null);
    end;
    v_ended := v_ended || v_one;
    v_bytes := v_bytes + pg_column_size(v_one);
    exit when v_bytes >= public.batch_bytes();
  end loop;
  return to_jsonb(v_ended);
end $$;

revoke execute on function public.get_ended_runs(jsonb) from public, anon, authenticated;
grant execute on function public.get_ended_runs(jsonb) to service_role;

-- schemas/runs/get_run.sql

-- Returns one run of a user; for an API key, or a visitor of it, only a run that this key, or visitor, has begun.
create or replace function public.get_run(p_user_id uuid, p_run_id uuid, p_api_key_id uuid default null, p_visitor text default null) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
begin
  select * into v_run from public.agent_runs where id = p_run_id and user_id = p_user_id
    and (p_api_key_id is null or (api_key_id = p_api_key_id and visitor is not distinct from p_visitor));
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  return public.run_json(v_run);
end $$;

revoke execute on function public.get_run(uuid, uuid, uuid, text) from public, anon, authenticated;
grant execute on function public.get_run(uuid, uuid, uuid, text) to service_role;

-- schemas/runs/get_run_input.sql

-- Returns what an attempt is made with: {input, steps}. Processes do not keep large inputs while runs wait for their slots.
create or replace function public.get_run_input(p_run_id uuid, p_attempt integer) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  perform from public.agent_runs where id = p_run_id and attempt = p_attempt and finished_at is null;
  if not found then
    raise sqlstate 'PT409' using hint = 'stale_attempt', message = 'Another attempt has taken this run over.';
  end if;
  return jsonb_build_object(
    'input', (select input from public.agent_run_inputs where run_id = p_run_id),
    'steps', public.checkpoints_of(p_run_id));
end $$;

revoke execute on function public.get_run_input(uuid, integer) from public, anon, authenticated;
grant execute on function public.get_run_input(uuid, integer) to service_role;

-- schemas/runs/input_bytes.sql

-- The size of what get_run_input returns, in bytes of JSON: the input of a run, and its recorded steps.
create or replace function public.input_bytes(p_run_id uuid) returns bigint
language sql stable security definer set search_path = '' as $$
  select coalesce((select coalesce(bytes, octet_length(input::text)) from public.agent_run_inputs where run_id = p_run_id), 0)
    + coalesce((select sum(octet_length(record::text)) from public.agent_run_checkpoints where run_id = p_run_id), 0)
$$;

revoke execute on function public.input_bytes(uuid) from public, anon, authenticated;
grant execute on function public.input_bytes(uuid) to service_role;

-- schemas/runs/lock_user.sql

-- Waits, before a user is deleted, for what is beginning and ending of theirs. The deletion has the user's row by now; after it
-- come the runs and then, by foreign keys, the balance. That is the order of finish_run: otherwise each would wait for the other.
create or replace function public.lock_user() returns trigger
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

-- schemas/runs/note_chat.sql

-- Keeps which chat a run answers, once.
--   p_chat_id   the page's own name of the chat
--   p_protocol  in which form the page is told the run
--   p_page_run  the page's own name of the run, if it has one
--   p_messages  what the page has sent, where it will ask for that again. The messages of a chat come with each of its runs, so they are
--               kept with the latest alone
create or replace function public.note_chat(
  p_user_id uuid,
  p_run_id uuid,
  p_chat_id text,
  p_protocol text,
  p_page_run text default null,
  p_messages jsonb default null
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
begin
  -- Who erases the run waits for this row, or has been here before: no text is left behind.
  perform from public.agent_runs where id = p_run_id and user_id = p_user_id and not erased for share;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  insert into public.agent_run_chats (run_id, user_id, chat_id, protocol, page_run, messages)
    values (p_run_id, p_user_id, p_chat_id, p_protocol, p_page_run, p_messages)
    on conflict (run_id) do nothing;
  if found and p_messages is not null then
    update public.agent_run_chats c set messages = null
      where c.user_id = p_user_id and c.chat_id = p_chat_id and c.run_id <> p_run_id and c.messages is not null
        and exists (select from public.agent_runs earlier, public.agent_runs latest
          where earlier.id = c.run_id and latest.id = p_run_id
            and earlier.api_key_id is not distinct from latest.api_key_id and earlier.visitor is not distinct from latest.visitor);
  end if;
  return '{"noted": true}';
end $$;

revoke execute on function public.note_chat(uuid, uuid, text, text, text, jsonb) from public, anon, authenticated;
grant execute on function public.note_chat(uuid, uuid, text, text, text, jsonb) to service_role;

-- schemas/runs/note_chat_told.sql

-- A page was told the end of a run that answers a chat.
create or replace function public.note_chat_told(p_run_id uuid) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
begin
  update public.agent_run_chats set told = true where run_id = p_run_id and not told;
  return '{"noted": true}';
end $$;

revoke execute on function public.note_chat_told(uuid) from public, anon, authenticated;
grant execute on function public.note_chat_told(uuid) to service_role;

-- schemas/runs/note_failure.sql

-- Keeps the reason of a failed run, which admins alone read, apart from what its user reads. Returns {code, message}.
--   p_error  {code, message, reason?}, or null
create or replace function public.note_failure(p_run_id uuid, p_error jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  if p_error ->> 'reason' is not null then
    insert into public.agent_run_failures as f (run_id, reason) values (p_run_id, left(p_error ->> 'reason', 300))
      on conflict (run_id) do update set reason = coalesce(f.reason, excluded.reason);
  end if;
  return p_error - 'reason';
end $$;

revoke execute on function public.note_failure(uuid, jsonb) from public, anon, authenticated;
grant execute on function public.note_failure(uuid, jsonb) to service_role;

-- schemas/runs/note_failures.sql

-- Keeps why the gateway has failed while a run was under way, which admins alone read; of all attempts the last 50. A call by an
-- attempt that no longer owns the run, or after its end, keeps nothing.
--   p_failures  [{attempt, at, code, status, reason, cause, model}]
create or replace function public.note_failures(p_run_id uuid, p_attempt integer, p_failures jsonb) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
begin
  insert into public.agent_run_failures as f (run_id, failures)
    select id, p_failures from public.agent_runs where id = p_run_id and attempt = p_attempt and finished_at is null
    on conflict (run_id) do update set failures = (
      select jsonb_agg(failure order by n) from (
        select failure, n from jsonb_array_elements(f.failures || excluded.failures) with ordinality as all_of_them (failure, n)
          order by n desc limit 50) as last_of_them);
  return '{"noted": true}';
end $$;

revoke execute on function public.note_failures(uuid, integer, jsonb) from public, anon, authenticated;
grant execute on function public.note_failures(uuid, integer, jsonb) to service_role;

-- schemas/runs/page_of_runs.sql

-- Returns a page of runs, newest first, as {runs, next}, each run with its user and without most of its response, see
-- run_summary. p_user_id null means everybody's runs;
-- p_after is the `next` of the page before, which is the id of its last run.
create or replace function public.page_of_runs(p_user_id uuid, p_limit integer, p_status text, p_agent_id uuid, p_after uuid)
returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_after public.agent_runs;
begin
  select * into v_after from public.agent_runs where id = p_after and (p_user_id is null or user_id = p_user_id);
  if p_after is not null and not found then
    raise sqlstate 'PT400' using hint = 'bad_request', message = 'The cursor is none that this service has given out.';
  end if;
  return (with page as (
    select r.id, r.created_at from public.agent_runs r
      where (p_user_id is null or r.user_id = p_user_id)
        and (p_status is null or r.status = p_status)
        and (p_agent_id is null or r.agent_id = p_agent_id)
        and (p_after is null or (r.created_at, r.id) < (v_after.created_at, v_after.id))
      order by r.created_at desc, r.id desc
      limit p_limit + 1
  ), numbered as (
    select id, row_number() over (order by created_at desc, id desc) as n from page
  )
  select jsonb_build_object(
    'runs', coalesce((select jsonb_agg(public.run_summary(id) order by n) from numbered where n <= p_limit), '[]'),
    'next', (select id from numbered where n = p_limit and exists (select from numbered where n > p_limit))));
end $$;

revoke execute on function public.page_of_runs(uuid, integer, text, uuid, uuid) from public, anon, authenticated;
grant execute on function public.page_of_runs(uuid, integer, text, uuid, uuid) to service_role;

-- schemas/runs/refuse_deleted_user.sql

-- Refuses a run that begins while its user is being deleted: the deletion would not see it, and leave its texts. It does not
-- wait, because the deletion may wait for another run of the same transaction.
create or replace function public.refuse_deleted_user() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if not pg_catalog.pg_try_advisory_xact_lock_shared(pg_catalog.hashtextextended('user ' || new.user_id, 0)) then
    raise sqlstate 'PT401' using hint = 'unauthorized', message = 'This user is being deleted.';
  end if;
  return new;
end $$;

create or replace trigger refuse_deleted_user before insert on public.agent_runs for each row
  execute function public.refuse_deleted_user();

revoke execute on function public.refuse_deleted_user() from public, anon, authenticated;
grant execute on function public.refuse_deleted_user() to service_role;

-- schemas/runs/run_summary.sql

-- Returns a run as lists have it: as run_json does, with its user, the first 500 characters of its response, and the number of
-- characters of the whole response.
create or replace function public.run_summary(p_run_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
  v_length integer;
begin
  select * into v_run from public.agent_runs where id = p_run_id;
  v_length := length(v_run.response);
  v_run.response := left(v_run.response, 500);
  return public.run_json(v_run) || jsonb_build_object('userId', v_run.user_id, 'responseLength', v_length);
end $$;

revoke execute on function public.run_summary(uuid) from public, anon, authenticated;
grant execute on function public.run_summary(uuid) to service_role;

-- schemas/schedules/bound_schedule.sql

-- Refuses texts of a schedule that are larger than authors may write, where they change: a row that was larger before can
-- still be saved. The service has the same limits in supabase/functions/_shared/bounds/author-limits.ts. The row is not made
-- into JSON as a whole: one that is nested deeper than PostgreSQL's stack could then not even be marked as faulty.
create or replace function public.bound_schedule() returns trigger
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

create or replace trigger bound_schedule before insert or update on public.agent_schedules for each row
  execute function public.bound_schedule();

revoke execute on function public.bound_schedule() from public, anon, authenticated;

-- schemas/schedules/claim_deliveries.sql

-- Takes results that are to be sent now, those of each user in turn, until they have batch_bytes, for p_lease_seconds. The try
-- counts even if the process dies during it. A result that cannot be taken fails by itself, after four tries for good.
--   p_sending   {userId: how many results of the user the process is sending already}
--   p_per_user  how many results of one user the process sends at a time
create or replace function public.claim_deliveries(
  p_lease_seconds numeric, p_limit integer, p_sending jsonb default '{}', p_per_user integer default 5
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_id uuid;
  v_one jsonb;
  v_claimed jsonb[] := '{}';
  v_bytes bigint := 0;
begin
  for v_id in
    select r.id from public.scheduled_runs r
      join (
        select d.id, d.delivery_at as due_at, coalesce((p_sending ->> s.user_id::text)::integer, 0)
            + row_number() over (partition by s.user_id order by d.delivery_at) as turn
          from public.scheduled_runs d join public.agent_schedules s on s.id = d.schedule_id
          where d.delivery_status = 'pending' and d.delivery_at <= now()) due on due.id = r.id
      where r.delivery_status = 'pending' and r.delivery_at <= now() and turn <= p_per_user
      order by turn, due_at limit p_limit for update of r skip locked
  loop
    v_one := public.take_delivery(v_id, p_lease_seconds);
    if v_one is not null then
      v_claimed := v_claimed || v_one;
      v_bytes := v_bytes + pg_column_size(v_one);
    end if;
    exit when v_bytes >= public.batch_bytes();
  end loop;
  return to_jsonb(v_claimed);
end $$;

revoke execute on function public.claim_deliveries(numeric, integer, jsonb, integer) from public, anon, authenticated;
grant execute on function public.claim_deliveries(numeric, integer, jsonb, integer) to service_role;

-- schemas/schedules/claim_firings.sql

-- Takes over firings whose process died before their run began, those of each user in turn, until they have batch_bytes. Those
-- of schedules that were switched off in the meantime are ended instead.
create or replace function public.claim_firings(p_lease_seconds numeric, p_limit integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_id uuid;
  v_one jsonb;
  v_claimed jsonb[] := '{}';
  v_bytes bigint := 0;
begin
  for v_id in
    select r.id from public.scheduled_runs r
      join (
        select id, lease_until as left_at, row_number() over (partition by request ->> 'userId' order by lease_until) as turn
          from public.scheduled_runs
          where run_id is null and request is not null and lease_until < now()) left_behind using (id)
      where r.run_id is null and r.request is not null and r.lease_until < now()
      order by turn, left_at limit p_limit for update of r skip locked
  loop
    v_one := public.take_firing(v_id, p_lease_seconds);
    if v_one is not null then
      v_claimed := v_claimed || v_one;
      v_bytes := v_bytes + pg_column_size(v_one);
    end if;
    exit when v_bytes >= public.batch_bytes();
  end loop;
  return to_jsonb(v_claimed);
end $$;

revoke execute on function public.claim_firings(numeric, integer) from public, anon, authenticated;
grant execute on function public.claim_firings(numeric, integer) to service_role;

-- schemas/schedules/clear_next_run.sql

-- Takes the time of a schedule away whose times were edited, or that was switched on after it had passed, so that the service
-- computes another: what was due while it was off is not made up for. The platform's own runner would never find a schedule
-- without a time, so where that alone is at work the time stays: it has rows of its own, which have no scheduled_for, and no
-- service has looked at the schedules within a quarter of an hour, as it does every ten minutes at the least.
-- By its name it comes before guard_schedule, which notes since when the schedule waits.
create or replace function public.clear_next_run() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if exists (select from public.schedule_looks where looked_at > now() - interval '15 minutes')
    or not exists (select from public.scheduled_runs where scheduled_for is null and status::text in ('running', 'completed'))
  then
    new.next_run_at := null;
  end if;
  return new;
end $$;

create or replace trigger clear_next_run before update on public.agent_schedules for each row
  when (new.next_run_at is not distinct from old.next_run_at
    and ((new.cron_expression, new.timezone) is distinct from (old.cron_expression, old.timezone)
      or (new.is_enabled and old.is_enabled is not true and new.next_run_at <= now())))
  execute function public.clear_next_run();

revoke execute on function public.clear_next_run() from public, anon, authenticated;
grant execute on function public.clear_next_run() to service_role;

-- schemas/schedules/end_firing.sql

-- Writes the end of a firing where its user sees it: in its own row, and in its schedule.
--   p_status   `completed` or `failed`
--   p_content  what the agent answered, if anything
--   p_error    the reason of a failure, as a sentence for the user
--   p_output   what became of the result: {success} if there is nothing to send, null if it is not sent yet
create or replace function public.end_firing(
  p_id uuid, p_status text, p_content text, p_error text, p_output jsonb, p_credits integer, p_at timestamptz
) returns void
language plpgsql security definer set search_path = '' as $$
declare
  v_schedule_id uuid;
begin
  -- The values go through JSON because a project may have the columns with other types.
  update public.scheduled_runs r
    set (status, generated_content, result, error_message, error, output_result, credits_used) = (
          select p.status, p.generated_content, p.result, p.error_message, p.error, coalesce(p.output_result, r.output_result), p.credits_used
            from jsonb_populate_record(null::public.scheduled_runs, jsonb_build_object(
              'status', p_status, 'generated_content', p_content, 'result', p_content, 'error_message', p_error, 'error', p_error,
              'output_result', p_output, 'credits_used', p_credits)) p),
        completed_at = p_at, request = null, lease_until = null
    where id = p_id
    returning schedule_id into v_schedule_id;
  update public.agent_schedules
    set last_run_at = p_at,
        run_count = coalesce(run_count, 0) + case when p_status = 'completed' then 1 else 0 end,
        last_result = case when p_status = 'completed'
          then jsonb_build_object('success', true, 'content_length', length(p_content))
          else jsonb_build_object('success', false, 'error', p_error) end
    where id = v_schedule_id;
end $$;

revoke execute on function public.end_firing(uuid, text, text, text, jsonb, integer, timestamp with time zone)
  from public, anon, authenticated;
grant execute on function public.end_firing(uuid, text, text, text, jsonb, integer, timestamp with time zone) to service_role;

-- schemas/schedules/erase_firings.sql

-- Erases what agents answered in firings by the service that ended before a time, and what went wrong in them and in schedules: in
-- all of them, or in those of a user or an agent. When they were, how they ended and what they cost stays. What the platform's own
-- runner has fired is the platform's, whose page shows it. A result that is still to be sent is left. A row that the platform's own rules keep as it is costs the others
-- nothing; so many of them as may be erased at once end the call.
-- Returns how many firings were erased, at most p_limit.
create or replace function public.erase_firings(p_before timestamptz, p_limit integer, p_user_id uuid default null, p_agent_id uuid default null)
returns integer
language plpgsql security definer set search_path = '' as $$
declare
  v_id uuid;
  v_count integer := 0;
  v_kept integer := 0;
  v_reason text;
  v_is_erased boolean;
begin
  for v_id in
    select id from public.scheduled_runs
      where completed_at < p_before and (scheduled_for is not null or error is not null) and delivery_status is distinct from 'pending'
        and (p_user_id is null or user_id = p_user_id) and (p_agent_id is null or agent_id = p_agent_id)
        and (generated_content is not null or result is not null or error_message is not null or error is not null)
      order by completed_at for update skip locked
  loop
    exit when v_count = p_limit or v_kept = p_limit;
    begin
      update public.scheduled_runs
        set generated_content = null, result = null, error_message = null, error = null, output_result = '{}', request = null
        where id = v_id
        returning generated_content is null and result is null and error_message is null and error is null into v_is_erased;
      if v_is_erased then
        v_count := v_count + 1;
      else
        v_kept := v_kept + 1;
        v_reason := 'a trigger keeps them';
      end if;
    exception when others then
      v_kept := v_kept + 1;
      v_reason := sqlerrm;
    end;
  end loop;
  if v_kept > 0 then
    raise warning 'scheduled_runs lets the texts of % rows not be erased: %', v_kept, v_reason;
  end if;
  return v_count;
end $$;

revoke execute on function public.erase_firings(timestamp with time zone, integer, uuid, uuid) from public, anon, authenticated;
grant execute on function public.erase_firings(timestamp with time zone, integer, uuid, uuid) to service_role;

-- schemas/schedules/erase_old_firings.sql

-- Erases what firings by the service that ended before a time have of texts, at most p_limit of them: see erase_firings.
-- Returns how many were erased.
create or replace function public.erase_old_firings(p_before timestamptz, p_limit integer) returns integer
language sql security definer set search_path = '' as $$
  select public.erase_firings(p_before, p_limit)
$$;

revoke execute on function public.erase_old_firings(timestamp with time zone, integer) from public, anon, authenticated;
grant execute on function public.erase_old_firings(timestamp with time zone, integer) to service_role;

-- schemas/schedules/fail_firing.sql

-- Ends a firing whose run will never begin.
--   p_refused  true if the schedule is to blame, as for want of credits: after three times in a row it rests for an hour, and
--              for twice as long each further time, up to a day. A run that begins ends that, and an edit ends the rest.
create or replace function public.fail_firing(p_id uuid, p_error text, p_refused boolean default false) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_firing record;
  v_hours integer;
  v_refusals integer;
begin
  -- The schedule is locked before its firing, as by who deletes it.
  perform from public.agent_schedules where id = (select schedule_id from public.scheduled_runs where id = p_id) for no key update;
  select schedule_id, request ->> 'userId' as user_id into v_firing from public.scheduled_runs
    where id = p_id and run_id is null and request is not null for update;
  if not found then
    return '{"failed": false}';
  end if;
  if p_refused then
    insert into public.schedule_refusals as r (user_id, refusals, since) values (v_firing.user_id::uuid, 1, now())
      on conflict (user_id) do update
        set refusals = case when r.since < now() - interval '1 hour' then 1 else r.refusals + 1 end,
            since = case when r.since < now() - interval '1 hour' then now() else r.since end;
    update public.agent_schedules set refusals = least(refusals + 1, 100) where id = v_firing.schedule_id
      returning refusals into v_refusals;
    if v_refusals >= 3 then
      v_hours := least(24, 2 ^ least(v_refusals - 3, 5));
      update public.agent_schedules set next_run_at = null, unplanned_since = now() + make_interval(hours => v_hours)
        where id = v_firing.schedule_id and next_run_at is not null;
    end if;
  end if;
  perform public.end_firing(p_id, 'failed', null,
    p_error || case v_hours when 1 then ' The schedule is tried again in an hour.' else coalesce(format(' The schedule is tried again in %s hours.', v_hours), '') end,
    null, 0, now());
  return '{"failed": true}';
end $$;

revoke execute on function public.fail_firing(uuid, text, boolean) from public, anon, authenticated;
grant execute on function public.fail_firing(uuid, text, boolean) to service_role;

-- schemas/schedules/fault_schedule.sql

-- Reports a faulty schedule once, by a failed row in scheduled_runs and in its last result, and stops planning it until it
-- is edited.
--   p_since  when it was due, or since when it waits to be planned, as it was read
-- Returns {told}: whether this call has reported it.
create or replace function public.fault_schedule(p_schedule_id uuid, p_since timestamptz, p_error text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_user_id uuid;
  v_agent_id uuid;
begin
  update public.agent_schedules
    set next_run_at = null, unplanned_since = 'infinity', last_result = jsonb_build_object('success', false, 'error', p_error)
    where id = p_schedule_id and is_enabled and date_trunc('milliseconds', coalesce(next_run_at, unplanned_since)) = p_since
    returning user_id, agent_id into v_user_id, v_agent_id;
  if not found then
    return '{"told": false}';
  end if;
  begin
    insert into public.scheduled_runs (id, schedule_id, agent_id, user_id, status, error_message, error, started_at, completed_at)
      select gen_random_uuid(), p_schedule_id, v_agent_id, v_user_id, p.status, p.error_message, p.error, now(), now()
        from jsonb_populate_record(null::public.scheduled_runs, jsonb_build_object(
          'status', 'failed', 'error_message', p_error, 'error', p_error)) p;
  exception when integrity_constraint_violation or data_exception then
    -- The table takes no such row, be it that the schedule has no user or an agent that is gone. The schedule rests anyway.
    null;
  end;
  return '{"told": true}';
end $$;

revoke execute on function public.fault_schedule(uuid, timestamp with time zone, text)
  from public, anon, authenticated;
grant execute on function public.fault_schedule(uuid, timestamp with time zone, text) to service_role;

-- schemas/schedules/fire_schedule.sql

-- Moves a due schedule to its next time and writes the row of its firing. Only one of several callers succeeds: whoever
-- moves next_run_at has fired, and that may also be the platform's own runner.
--   p_due      the time that the schedule was due, as it was read, in milliseconds
--   p_for      the time of the firing: the latest of those that were missed
--   p_content  the question to the agent
-- Returns the firing, or null if the schedule was fired, edited or switched off in the meantime, or rests because 20 firings of
-- its user were refused within an hour.
create or replace function public.fire_schedule(
  p_schedule_id uuid, p_due timestamptz, p_for timestamptz, p_next timestamptz, p_content text, p_lease_seconds numeric
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_schedule record;
  v_id uuid;
begin
  select user_id, agent_id, timed_at into v_schedule from public.agent_schedules
    where id = p_schedule_id and is_enabled and date_trunc('milliseconds', next_run_at) = p_due
    for no key update;
  -- The platform's runner inserts its row before it asks the model, completes it, and moves next_run_at after that: a row that was
  -- begun since that time was written is this firing. It lives for less than ten minutes.
  if not found or exists (
    select from public.scheduled_runs
      where schedule_id = p_schedule_id and scheduled_for is null
        and ((status::text = 'running' and completed_at is null)
          or (status::text = 'completed' and started_at > coalesce(v_schedule.timed_at, '-infinity')))
        and started_at >= p_due and started_at > now() - interval '10 minutes')
  then
    return null;
  end if;
  if exists (select from public.schedule_refusals
    where user_id = v_schedule.user_id and refusals >= 20 and since > now() - interval '1 hour')
  then
    update public.agent_schedules
      set next_run_at = null, unplanned_since = now() + interval '1 hour',
          last_result = '{"success": false, "error": "Too many of your schedules could not begin: this one is tried again in an hour."}'
      where id = p_schedule_id;
    return null;
  end if;
  update public.agent_schedules set next_run_at = p_next where id = p_schedule_id;
  begin
    insert into public.scheduled_runs (id, schedule_id, agent_id, user_id, status, started_at, scheduled_for, request, lease_until)
      select gen_random_uuid(), p_schedule_id, v_schedule.agent_id, v_schedule.user_id, p.status, now(), p_for,
          jsonb_build_object('userId', v_schedule.user_id, 'agentId', v_schedule.agent_id, 'content', p_content),
          now() + make_interval(secs => p_lease_seconds)
        from jsonb_populate_record(null::public.scheduled_runs, '{"status": "pending"}') p
      on conflict do nothing
      returning id into v_id;
  exception when integrity_constraint_violation or data_exception then
    -- The table takes no such row. The schedule rests, or it would fail again each time.
    update public.agent_schedules
      set next_run_at = null, unplanned_since = 'infinity',
          last_result = '{"success": false, "error": "The schedule has no user, or its agent does not exist."}'
      where id = p_schedule_id;
  end;
  return (select public.firing_json(r) from public.scheduled_runs r where r.id = v_id);
end $$;

revoke execute on function public.fire_schedule(uuid, timestamp with time zone, timestamp with time zone, timestamp with time zone, text, numeric)
  from public, anon, authenticated;
grant execute on function public.fire_schedule(uuid, timestamp with time zone, timestamp with time zone, timestamp with time zone, text, numeric)
  to service_role;

-- schemas/schedules/get_schedules.sql

-- Returns schedules that are switched on, in the order of their ids, with all that is needed to plan and fire them, until they
-- have 4 MiB: {now, schedules, left}. `left` are the ids of the others, for the next call.
create or replace function public.get_schedules(p_ids jsonb) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_id uuid;
  v_n bigint;
  v_one jsonb;
  v_read jsonb[] := '{}';
  v_bytes bigint := 0;
  v_left jsonb := '[]';
begin
  for v_id, v_n in
    select s.id, n from jsonb_array_elements_text(p_ids) with ordinality as wanted (id, n)
      join public.agent_schedules s on s.id = wanted.id::uuid and s.is_enabled
      order by n
  loop
    v_one := public.schedule_json(v_id);
    v_read := v_read || v_one;
    v_bytes := v_bytes + pg_column_size(v_one);
    if v_bytes >= 4194304 then
      v_left := jsonb_path_query_array(p_ids, '$[$n to last]', jsonb_build_object('n', v_n));
      exit;
    end if;
  end loop;
  return jsonb_build_object('now', public.iso_time(now()), 'schedules', to_jsonb(v_read), 'left', v_left);
end $$;

revoke execute on function public.get_schedules(jsonb) from public, anon, authenticated;
grant execute on function public.get_schedules(jsonb) to service_role;

-- schemas/schedules/guard_schedule.sql

-- Refuses schedules on another user's account, and keeps `unplanned_since`, `refusals` and `timed_at`, which are the
-- service's alone.
--
-- Whoever writes next_run_at (the page, the platform's runner, the service) has said when the schedule is due next.
-- The service computes it for a schedule that has none, and after an edit of its times that leaves it as it was (clear_next_run).
-- `unplanned_since` is the moment of the edit, so that no firing between the edit and the planning is lost.
create or replace function public.guard_schedule() returns trigger
language plpgsql set search_path = '' as $$
declare
  v_is_user boolean := current_user in ('anon', 'authenticated');
begin
  if v_is_user and new.user_id is distinct from auth.uid()
    and (tg_op = 'INSERT' or new.user_id is distinct from old.user_id)
    and not public.has_role(auth.uid(), 'admin')
  then
    raise sqlstate '42501' using message = 'A schedule is its own user''s.';
  end if;
  -- What is no date that everybody can read counts as none.
  if new.next_run_at not between '1970-01-01Z' and '9999-12-31Z' then
    new.next_run_at := null;
  end if;
  if tg_op = 'INSERT' then
    new.unplanned_since := case when new.next_run_at is null then now() end;
    new.refusals := 0;
    new.timed_at := now();
    return new;
  end if;
  -- A page that saves the whole row sends it back as it has read it.
  if v_is_user then
    new.unplanned_since := old.unplanned_since;
    new.refusals := old.refusals;
  end if;
  if new.next_run_at is distinct from old.next_run_at and new.next_run_at is not null then
    new.unplanned_since := null;
  elsif (new.next_run_at is null and ((new.cron_expression, new.timezone) is distinct from (old.cron_expression, old.timezone)
      or (new.is_enabled and old.is_enabled is not true)))
    -- A faulty schedule, or one that rests, was edited.
    or (old.next_run_at is null and old.unplanned_since > now()
      and (new.user_id, new.agent_id, new.prompt_template, new.output_action, new.output_config)
        is distinct from (old.user_id, old.agent_id, old.prompt_template, old.output_action, old.output_config))
    -- Its time was taken away, and not by fault_schedule or to let it rest.
    or (new.next_run_at is null and old.next_run_at is not null and coalesce(new.unplanned_since <= now(), true))
  then
    new.next_run_at := null;
    new.unplanned_since := now();
  end if;
  new.timed_at := case when new.next_run_at is distinct from old.next_run_at then now() else old.timed_at end;
  return new;
end $$;

create or replace trigger guard_schedule before insert or update on public.agent_schedules for each row
  execute function public.guard_schedule();

revoke execute on function public.guard_schedule() from public, anon, authenticated;
grant execute on function public.guard_schedule() to service_role;

-- schemas/schedules/guard_scheduled_run.sql

-- Refuses the row of a firing by the platform's runner if the service has just fired the same schedule. That runner reads the
-- schedules that are due first, and comes to each of them one after the other; without its row it leaves a schedule out.
create or replace function public.guard_scheduled_run() returns trigger
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_next_run_at timestamptz;
begin
  -- If the service is firing the schedule at this moment, this waits until it has.
  select next_run_at into v_next_run_at from public.agent_schedules where id = new.schedule_id for no key update;
  if v_next_run_at > now() and exists (
    select from public.scheduled_runs
      where schedule_id = new.schedule_id and scheduled_for is not null and started_at > now() - interval '10 minutes')
  then
    raise sqlstate '23505' using message = 'The schedule was fired already.';
  end if;
  return new;
end $$;

create or replace trigger guard_scheduled_run before insert on public.scheduled_runs for each row
  when (new.scheduled_for is null and new.completed_at is null)
  execute function public.guard_scheduled_run();

revoke execute on function public.guard_scheduled_run() from public, anon, authenticated;
grant execute on function public.guard_scheduled_run() to service_role;

-- schemas/schedules/link_scheduled_run.sql

-- Links a run and its firing when the run is inserted, so that the link survives the death of the process, and forgets that the
-- schedule was refused before. The run's
-- idempotency key names the firing. A user who sends such a key gains nothing: the run's user must be the firing's.
create or replace function public.link_scheduled_run() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_schedule_id uuid;
begin
  -- The schedule is locked before its firing, as by who deletes it.
  perform from public.agent_schedules
    where id = (select schedule_id from public.scheduled_runs
      where id = substr(new.idempotency_key, 10)::uuid and run_id is null and request ->> 'userId' = new.user_id::text)
    for no key update;
  update public.scheduled_runs r
    set run_id = new.id, request = null, lease_until = null,
        status = (select p.status from jsonb_populate_record(null::public.scheduled_runs, '{"status": "running"}') p)
    where id = substr(new.idempotency_key, 10)::uuid and run_id is null and request ->> 'userId' = new.user_id::text
    returning schedule_id into v_schedule_id;
  update public.agent_schedules set refusals = 0 where id = v_schedule_id and refusals > 0;
  return null;
end $$;

create or replace trigger link_scheduled_run after insert on public.agent_runs for each row
  when (new.api_key_id is null and new.idempotency_key ~ '^schedule:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$')
  execute function public.link_scheduled_run();

revoke execute on function public.link_scheduled_run() from public, anon, authenticated;
grant execute on function public.link_scheduled_run() to service_role;

-- schemas/schedules/list_schedules.sql

-- Returns the schedules that are due within p_within_seconds (null: at any time), the earliest first, and the ids of the
-- schedules that have to be planned: {now, timed: [{id, cron, timezone, nextRunAt, turn}], unplanned: [id], isScheduled, leftAt}.
-- Where there are more than p_limit, each user has as many.
--   turn         the how manieth of its user's it is: what is due is served in turn
--   isScheduled  whether any schedule is on and has a next time or is going to have one
--   leftAt       when the first firing that was left behind is to begin, or the first result is to be sent; null: there is none
-- Who calls it fires schedules, and that is noted: see clear_next_run.
create or replace function public.list_schedules(p_within_seconds numeric, p_limit integer) returns jsonb
language sql security definer set search_path = '' set lock_timeout = '5s' as $$
  insert into public.schedule_looks (looked_at)
    select now() where not exists (select from public.schedule_looks where looked_at > now() - interval '1 minute')
    on conflict (id) do update set looked_at = excluded.looked_at;
  select jsonb_build_object(
    'now', public.iso_time(now()),
    'timed', (
      select coalesce(jsonb_agg(jsonb_build_object(
          'id', s.id, 'cron', left(s.cron_expression, 201), 'timezone', left(s.timezone, 201),
          'nextRunAt', public.iso_time(s.next_run_at), 'turn', s.turn) order by s.next_run_at), '[]')
        from (
          select id, cron_expression, timezone, next_run_at,
              row_number() over (partition by user_id order by next_run_at, id) as turn
            from public.agent_schedules
            where is_enabled and next_run_at is not null and id is not null
              and (p_within_seconds is null or next_run_at <= now() + make_interval(secs => p_within_seconds))
            order by turn, next_run_at limit p_limit) s),
    'unplanned', (
      select coalesce(jsonb_agg(s.id order by s.turn, s.unplanned_since), '[]')
        from (
          select id, unplanned_since, row_number() over (partition by user_id order by unplanned_since, id) as turn
            from public.agent_schedules
            where is_enabled and next_run_at is null and unplanned_since <= now() and id is not null
            order by turn, unplanned_since limit p_limit) s),
    'isScheduled', exists (
        select from public.agent_schedules where is_enabled and next_run_at < 'infinity')
      or exists (
        select from public.agent_schedules where is_enabled and next_run_at is null and unplanned_since < 'infinity'),
    'leftAt', public.iso_time(least(
      (select min(lease_until) from public.scheduled_runs where run_id is null and request is not null and lease_until < 'infinity'),
      (select min(delivery_at) from public.scheduled_runs where delivery_status = 'pending'))))
$$;

revoke execute on function public.list_schedules(numeric, integer) from public, anon, authenticated;
grant execute on function public.list_schedules(numeric, integer) to service_role;

-- schemas/schedules/plan_schedule.sql

-- Sets when a schedule is due next, unless it was edited since it was read. Returns {planned}.
create or replace function public.plan_schedule(p_schedule_id uuid, p_cron text, p_timezone text, p_next timestamptz) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  update public.agent_schedules set next_run_at = p_next
    where id = p_schedule_id and next_run_at is null and unplanned_since < 'infinity'
      and cron_expression is not distinct from p_cron and timezone is not distinct from p_timezone;
  return jsonb_build_object('planned', found);
end $$;

revoke execute on function public.plan_schedule(uuid, text, text, timestamp with time zone)
  from public, anon, authenticated;
grant execute on function public.plan_schedule(uuid, text, text, timestamp with time zone) to service_role;

-- schemas/schedules/record_delivery.sql

-- Records the outcome of a try to send a result, unless another process has tried since.
--   p_status  `delivered`; `failed` for good; `pending`, to be tried again after p_seconds; or null if nothing is to be
--             sent any more
--   p_error   the reason of a failure for good, as a sentence for the user
--   p_result  what the page shows: {success, status} or {success, error}; null leaves what the last try has said
-- Returns {recorded}. A run whose result did not arrive is completed nevertheless, as the platform has it.
create or replace function public.record_delivery(
  p_id uuid, p_tries integer, p_status text, p_error text default null, p_seconds numeric default 0, p_result jsonb default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  update public.scheduled_runs r
    set delivery_status = p_status, delivery_at = now() + make_interval(secs => p_seconds),
        output_result = coalesce(p_result, case
          when p_status = 'failed' then jsonb_build_object('success', false, 'error', p_error)
          when p_status = 'pending' then r.output_result
          else '{"success": true}' end)
    where id = p_id and delivery_tries = p_tries and delivery_status = 'pending';
  if found and p_status = 'failed' then
    update public.scheduled_runs r
      set (error_message, error) = (
        select p.error_message, p.error
          from jsonb_populate_record(null::public.scheduled_runs, jsonb_build_object('error_message', p_error, 'error', p_error)) p)
      where id = p_id;
    return '{"recorded": true}';
  end if;
  return jsonb_build_object('recorded', found);
end $$;

revoke execute on function public.record_delivery(uuid, integer, text, text, numeric, jsonb) from public, anon, authenticated;
grant execute on function public.record_delivery(uuid, integer, text, text, numeric, jsonb) to service_role;

-- schemas/schedules/schedule_json.sql

-- Returns a schedule with all that is needed to plan and fire it. What is longer than the service accepts is cut off, and so is
-- what this server cannot return, so that one row cannot keep the others from being read; `isTooLarge` tells of output_config.
create or replace function public.schedule_json(p_schedule_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_schedule jsonb;
begin
  select jsonb_build_object(
      'id', s.id, 'userId', s.user_id, 'agentId', s.agent_id, 'cron', left(s.cron_expression, 201), 'timezone', left(s.timezone, 201),
      'prompt', left(s.prompt_template, 100001), 'action', left(s.output_action, 201), 'config', null, 'isTooLarge', false,
      'nextRunAt', public.iso_time(s.next_run_at),
      'unplannedSince', public.iso_time(case when s.next_run_at is null and s.unplanned_since < 'infinity' then s.unplanned_since end))
    into v_schedule
    from public.agent_schedules s where s.id = p_schedule_id;
  begin
    return v_schedule || (
      select case when octet_length(output_config::text) > 262144 then '{"isTooLarge": true}'
          -- As an element of a list, which is what the caller makes of it.
          else jsonb_build_array(jsonb_build_object('config', output_config)) -> 0 end
        from public.agent_schedules where id = p_schedule_id);
  exception when others then
    return v_schedule || '{"isTooLarge": true}';
  end;
end $$;

revoke execute on function public.schedule_json(uuid) from public, anon, authenticated;
grant execute on function public.schedule_json(uuid) to service_role;

-- schemas/schedules/settle_scheduled_run.sql

-- Copies the end of a run to its firing, in the transaction that settles the run. If the live table refuses the values, for whatever
-- reason that another try does not mend, the run is settled nevertheless: it would be made, and paid for, again and again.
create or replace function public.settle_scheduled_run() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_id uuid;
  v_is_sent boolean;
begin
  select r.id, s.output_action in ('webhook', 'api_call')
      and (to_jsonb(s.output_config) ->> 'url' ~ '\S' or to_jsonb(s.output_config) ->> 'webhook_url' ~ '\S')
    into v_id, v_is_sent
    from public.scheduled_runs r join public.agent_schedules s on s.id = r.schedule_id where r.run_id = new.id
    -- Before the firing, as who deletes a schedule locks them.
    for no key update of s;
  if not found then
    return null;
  end if;
  if new.status = 'succeeded' then
    perform public.end_firing(v_id, 'completed', new.response, null, case when not coalesce(v_is_sent, false) then '{"success": true}'::jsonb end,
      new.credits_charged, new.finished_at);
    if v_is_sent then
      update public.scheduled_runs set delivery_status = 'pending', delivery_at = now() where id = v_id;
    end if;
  else
    perform public.end_firing(v_id, 'failed', nullif(new.response, ''),
      case new.status when 'failed' then coalesce(new.error ->> 'message', 'The run failed.') else 'The run was cancelled.' end,
      null, new.credits_charged, new.finished_at);
  end if;
  return null;
exception
  when lock_not_available or transaction_rollback or insufficient_resources then
    raise;
  when others then
    raise warning 'scheduled_runs does not take the end of run %: %', new.id, sqlerrm;
    return null;
end $$;

create or replace trigger settle_scheduled_run after update of finished_at on public.agent_runs for each row
  when (old.finished_at is null and new.finished_at is not null and new.idempotency_key like 'schedule:%')
  execute function public.settle_scheduled_run();

revoke execute on function public.settle_scheduled_run() from public, anon, authenticated;
grant execute on function public.settle_scheduled_run() to service_role;

-- schemas/schedules/take_delivery.sql

-- Takes one result that is to be sent, for p_lease_seconds, with its schedule as schedule_json has it. Returns null if it cannot be
-- taken; then it rests for a minute, and after four tries it has failed. So has one that was taken twenty times, whatever became of
-- the processes that took it.
create or replace function public.take_delivery(p_id uuid, p_lease_seconds numeric) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_tries integer;
begin
  update public.scheduled_runs
    set delivery_at = now() + make_interval(secs => p_lease_seconds), delivery_tries = delivery_tries + 1
    where id = p_id
    returning delivery_tries into v_tries;
  if v_tries > 20 then
    perform public.record_delivery(p_id, v_tries, 'failed', 'The result could not be delivered: the server broke down over it again and again.');
    return null;
  end if;
  begin
    if (select octet_length(s.output_config::text) > 262144
      from public.scheduled_runs c join public.agent_schedules s on s.id = c.schedule_id where c.id = p_id)
    then
      perform public.record_delivery(p_id, v_tries, 'failed', 'The result could not be delivered: output_config is too large.');
      return null;
    end if;
    return (
      select jsonb_build_object(
          'id', c.id, 'scheduleId', c.schedule_id, 'runId', c.run_id, 'tries', c.delivery_tries, 'result', to_jsonb(c) ->> 'result',
          'scheduledFor', public.iso_time(c.scheduled_for), 'completedAt', public.iso_time(c.completed_at::timestamptz),
          'agentId', s.agent_id, 'agentName', (select left(a.name, 1000) from public.agents a where a.id = s.agent_id),
          'userId', s.user_id, 'action', left(s.output_action, 201), 'config', s.output_config,
          'prompt', left(s.prompt_template, 100001), 'timezone', left(s.timezone, 201))
        from public.scheduled_runs c join public.agent_schedules s on s.id = c.schedule_id where c.id = p_id);
  exception when others then
    raise warning 'result % cannot be taken to be sent: %', p_id, sqlerrm;
    perform public.record_delivery(p_id, v_tries, case when v_tries < 4 then 'pending' else 'failed' end,
      'The result could not be delivered: it cannot be read.', 60);
  end;
  return null;
exception when others then
  -- What cannot even be noted is not to keep the results of others.
  raise warning 'result % cannot be taken to be sent: %', p_id, sqlerrm;
  return null;
end $$;

revoke execute on function public.take_delivery(uuid, numeric) from public, anon, authenticated;
grant execute on function public.take_delivery(uuid, numeric) to service_role;

-- schemas/schedules/take_firing.sql

-- Takes one firing whose run has not begun, for p_lease_seconds. Returns null if its schedule was switched off, which ends the
-- firing, or if it cannot be taken: then it rests for a minute, and is dropped when it is older than an hour.
create or replace function public.take_firing(p_id uuid, p_lease_seconds numeric) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_firing jsonb;
begin
  if exists (select from public.scheduled_runs r join public.agent_schedules s on s.id = r.schedule_id
    where r.id = p_id and s.is_enabled is not true)
  then
    perform public.end_firing(p_id, 'failed', null, 'The schedule was switched off before its run began.', null, 0, now());
    return null;
  end if;
  update public.scheduled_runs r set lease_until = now() + make_interval(secs => p_lease_seconds)
    where r.id = p_id
    returning public.firing_json(r) into v_firing;
  return v_firing;
exception when others then
  raise warning 'firing % cannot be taken: %', p_id, sqlerrm;
  begin
    update public.scheduled_runs
      set lease_until = case when started_at > now() - interval '1 hour' then now() + interval '1 minute' end,
          request = case when started_at > now() - interval '1 hour' then request end
      where id = p_id;
  exception when others then
    -- What cannot even be noted is not to keep the firings of others.
    null;
  end;
  return null;
end $$;

revoke execute on function public.take_firing(uuid, numeric) from public, anon, authenticated;
grant execute on function public.take_firing(uuid, numeric) to service_role;

-- schemas/steps/get_told_steps.sql

-- Returns the events of finished steps of unfinished runs: [{runId, attempt, told: [{first, events}]}], of each run in turn the
-- next step, until they have batch_bytes; the caller asks again with the cursors that it has then. Readers that are connected to
-- another process than the run's get them this way.
--   p_cursors  {runId: the number of the last event that the reader knows}
create or replace function public.get_told_steps(p_cursors jsonb) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_step record;
  v_run_ids uuid[] := '{}';
  v_steps integer[] := '{}';
  v_bytes bigint := 0;
begin
  for v_step in
    select c.run_id, c.step, row_number() over (partition by c.run_id order by c.step) as turn
      from jsonb_each_text(p_cursors) as wanted (id, cursor)
      join public.agent_runs r on r.id = wanted.id::uuid and r.finished_at is null
      join public.agent_run_checkpoints c on c.run_id = r.id and c.attempt = r.attempt
        and c.told_last > wanted.cursor::bigint
      order by turn, c.run_id
  loop
    begin
      v_bytes := v_bytes + (select pg_column_size(jsonb_build_array(told)) from public.agent_run_checkpoints
        where run_id = v_step.run_id and step = v_step.step);
      v_run_ids := v_run_ids || v_step.run_id;
      v_steps := v_steps || v_step.step;
    exception when others then
      -- Readers of this run get its end.
      raise warning 'step % of run % cannot be returned: %', v_step.step, v_step.run_id, sqlerrm;
    end;
    exit when v_bytes >= public.batch_bytes();
  end loop;
  return (
    select coalesce(jsonb_agg(jsonb_build_object('runId', run_id, 'attempt', attempt, 'told', told)), '[]') from (
      select run_id, c.attempt, jsonb_agg(c.told order by step) as told
        from unnest(v_run_ids, v_steps) as chosen (run_id, step) join public.agent_run_checkpoints c using (run_id, step)
        group by run_id, c.attempt) t);
end $$;

revoke execute on function public.get_told_steps(jsonb) from public, anon, authenticated;
grant execute on function public.get_told_steps(jsonb) to service_role;

-- schemas/steps/list_steps.sql

-- Returns the finished steps of a user's run: {steps}; for an API key, or a visitor of it, only of a run that this key, or visitor, has
-- begun. Raises `run_not_found`.
create or replace function public.list_steps(p_user_id uuid, p_run_id uuid, p_api_key_id uuid default null, p_visitor text default null) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  perform public.get_run(p_user_id, p_run_id, p_api_key_id, p_visitor);
  return jsonb_build_object('steps', public.steps_json(p_run_id));
end $$;

revoke execute on function public.list_steps(uuid, uuid, uuid, text) from public, anon, authenticated;
grant execute on function public.list_steps(uuid, uuid, uuid, text) to service_role;

-- schemas/steps/record_step.sql

-- Records a finished step, so that it is never done again. A repeated call records nothing new.
--   p_step     {kind, name, finishReason, usage, startedAt}, which the user may read, and credits: the run's cost so far
--   p_record   what another process needs to go on after the step
--   p_credits  what the run may cost by the end of its next step; the reservation grows to that
--   p_told     the events since the step before: {first, events}
-- Returns {reserved, isEnough}.
create or replace function public.record_step(
  p_run_id uuid, p_attempt integer, p_number integer, p_step jsonb, p_record jsonb, p_credits integer default 0,
  p_told jsonb default null
) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_run public.agent_runs;
  v_reserved integer;
begin
  select * into v_run from public.agent_runs where id = p_run_id for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'run_not_found', message = 'There is no such run.';
  end if;
  if v_run.attempt <> p_attempt or v_run.finished_at is not null then
    raise sqlstate 'PT409' using hint = 'stale_attempt', message = 'Another attempt has taken this run over.';
  end if;
  insert into public.agent_run_checkpoints (run_id, step, record, attempt, told, told_last)
    values (p_run_id, p_number, p_record, p_attempt, p_told, (p_told ->> 'first')::bigint + jsonb_array_length(p_told -> 'events') - 1)
    on conflict (run_id, step) do update set attempt = excluded.attempt, told = excluded.told, told_last = excluded.told_last;
  insert into public.agent_run_steps (run_id, step, attempt, kind, name, finish_reason, usage, started_at)
    values (p_run_id, p_number, p_attempt, p_step ->> 'kind', p_step ->> 'name', p_step ->> 'finishReason', p_step -> 'usage',
      (p_step ->> 'startedAt')::timestamptz)
    on conflict do nothing;
  update public.agent_runs set credits_used = greatest(credits_used, (p_step ->> 'credits')::integer) where id = p_run_id;
  v_reserved := public.extend_reservation(p_run_id, p_credits);
  return jsonb_build_object('reserved', v_reserved, 'isEnough', not v_run.is_charged or v_reserved >= coalesce(p_credits, 0));
end $$;

revoke execute on function public.record_step(uuid, integer, integer, jsonb, jsonb, integer, jsonb)
  from public, anon, authenticated;
grant execute on function public.record_step(uuid, integer, integer, jsonb, jsonb, integer, jsonb) to service_role;

-- schemas/steps/steps_json.sql

-- Returns the finished steps of a run in their order, the first 500: [{step, attempt, kind, name, finishReason, usage, startedAt, finishedAt}].
create or replace function public.steps_json(p_run_id uuid) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return coalesce((
    select jsonb_agg(jsonb_build_object('step', s.step, 'attempt', s.attempt, 'kind', s.kind, 'name', s.name,
        'finishReason', s.finish_reason, 'usage', s.usage, 'startedAt', public.iso_time(s.started_at),
        'finishedAt', public.iso_time(s.finished_at)) order by s.step)
      from (select * from public.agent_run_steps where run_id = p_run_id order by step limit 500) s), '[]');
end $$;

revoke execute on function public.steps_json(uuid) from public, anon, authenticated;
grant execute on function public.steps_json(uuid) to service_role;

-- PostgREST learns of what is new.
notify pgrst, 'reload schema';
