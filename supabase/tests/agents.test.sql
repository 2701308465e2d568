-- Where an agent runs, and what code it is, users do not say: the edge function sends its secret there.
begin;
create schema if not exists extensions;
create extension if not exists pgtap with schema extensions;
grant usage on schema extensions to anon, authenticated, service_role;
set local search_path = public, extensions;
select plan(34);

insert into auth.users (id, email) values
  ('a0000000-0000-4000-8000-000000000001', 'user@example.com'),
  ('a0000000-0000-4000-8000-000000000003', 'admin@example.com');
insert into public.user_roles (user_id, role) values ('a0000000-0000-4000-8000-000000000003', 'admin');
insert into public.agents (id, user_id, name, purpose) values
  ('b0000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000001', 'Theirs', 'To be changed.'),
  ('b0000000-0000-4000-8000-000000000003', 'a0000000-0000-4000-8000-000000000003', 'The admin''s', 'To be changed.');

create function pg_temp.speak_as(p_role text, p_user_id text default '') returns void language plpgsql as $$
begin
  perform set_config('request.jwt.claims', json_build_object('sub', p_user_id, 'role', p_role)::text, true);
  execute format('set local role %I', p_role);
end $$;
grant execute on all functions in schema pg_temp to public;

select pg_temp.speak_as('authenticated', 'a0000000-0000-4000-8000-000000000001');
select lives_ok($$ update public.agents set name = 'Renamed', is_heavy = true, railway_url = '' $$, 'a user changes their own agent, and saves a blank railway_url with it');
select lives_ok($$ update public.agents set name = 'Again', railway_url = ' https://example.com ', temperature = 0.1 $$, 'saves another address with the rest');
select is((name, railway_url, railway_url_requested, temperature)::text, '(Again,"",https://example.com,0.1)', 'of which only a wish is kept') from public.agents;
select is(railway_url_requested_at, now(), 'since when, is noted') from public.agents;
select lives_ok($$ update public.agents set railway_url = '', railway_url_requested_at = '2000-01-01' $$, 'a page that shows no address saves a blank');
select is((railway_url_requested, railway_url_requested_at)::text, ('https://example.com'::text, now())::text, 'and the wish stays, with its time') from public.agents;
select throws_ok($$ update public.agents set executor = 'python' $$, '42501', null, 'nor what runs it');
select throws_ok($$ update public.agents set entrypoint = 'os:abort' $$, '42501', null, 'nor the code that it is');
select lives_ok($$ insert into public.agents (id, user_id, name, purpose, railway_url)
  values ('b0000000-0000-4000-8000-000000000002', 'a0000000-0000-4000-8000-000000000001', 'New', 'x', 'https://example.com') $$, 'a new agent is made');
select is((railway_url, railway_url_requested)::text, '(,https://example.com)', 'with a wish as well')
  from public.agents where id = 'b0000000-0000-4000-8000-000000000002';
select lives_ok($$ update public.agents set railway_url_requested = ' ' where id = 'b0000000-0000-4000-8000-000000000002' $$, 'the wish may be taken back');
select is((railway_url_requested, railway_url_requested_at)::text, '(,)', 'which leaves nothing')
  from public.agents where id = 'b0000000-0000-4000-8000-000000000002';
reset role;

update public.agents set railway_url = 'https://agents.example.com' where id = 'b0000000-0000-4000-8000-000000000001';
select is((railway_url_requested, railway_url_requested_at)::text, '(,)', 'an address that an admin sets settles the wish')
  from public.agents where id = 'b0000000-0000-4000-8000-000000000001';
select pg_temp.speak_as('authenticated', 'a0000000-0000-4000-8000-000000000001');
select lives_ok($$ update public.agents set name = 'Again', railway_url = railway_url $$, 'what an admin has set may be saved again');
select lives_ok($$ update public.agents set railway_url = 'https://other.example.com' where id = 'b0000000-0000-4000-8000-000000000001' $$, 'another address than that is a wish');
select lives_ok($$ update public.agents set name = 'And again', railway_url = railway_url where id = 'b0000000-0000-4000-8000-000000000001' $$, 'which stays when the page saves what it shows');
select is((railway_url, railway_url_requested)::text, '(https://agents.example.com,https://other.example.com)', 'and what was approved stays')
  from public.agents where id = 'b0000000-0000-4000-8000-000000000001';
select lives_ok($$ update public.agents set railway_url = null where id = 'b0000000-0000-4000-8000-000000000001' $$, 'a blank takes the address away');
select is((railway_url, railway_url_requested)::text, '(,)', 'and the wish with it')
  from public.agents where id = 'b0000000-0000-4000-8000-000000000001';
reset role;
update public.agents set railway_url = 'https://agents.example.com' where id = 'b0000000-0000-4000-8000-000000000001';

select pg_temp.speak_as('authenticated', 'a0000000-0000-4000-8000-000000000003');
select lives_ok($$ update public.agents set railway_url = 'https://agents.example.com' where id = 'b0000000-0000-4000-8000-000000000003' $$, 'an admin says where an agent runs');
reset role;
select is(railway_url, 'https://agents.example.com', 'and it stays') from public.agents where id = 'b0000000-0000-4000-8000-000000000003';

select pg_temp.speak_as('service_role');
select lives_ok($$ update public.agents set executor = 'python', entrypoint = 'package.module:run' where id = 'b0000000-0000-4000-8000-000000000001' $$, 'so does the service');
reset role;

-- Functions that are code
insert into public.agent_functions (id, agent_id, name, function_type, config) values
  ('c0000000-0000-4000-8000-000000000001', 'b0000000-0000-4000-8000-000000000001', 'count', 'python', '{"entrypoint": "package.module:run"}');
select pg_temp.speak_as('authenticated', 'a0000000-0000-4000-8000-000000000001');
select throws_ok($$ insert into public.agent_functions (agent_id, name, function_type, config)
  values ('b0000000-0000-4000-8000-000000000001', 'shell', 'python', '{"entrypoint": "subprocess:getoutput"}') $$, '42501', null, 'a user makes no function that is code');
select throws_ok($$ update public.agent_functions set config = '{"entrypoint": "subprocess:getoutput"}' $$, '42501', null, 'nor changes what code one is');
select lives_ok($$ update public.agent_functions set description = 'Counts', config = config || '{"parameters": {"type": "object"}}' $$, 'but the rest of it');
select lives_ok($$ insert into public.agent_functions (agent_id, name, function_type)
  values ('b0000000-0000-4000-8000-000000000001', 'call', 'api_call') $$, 'a user makes other functions');
select throws_ok($$ update public.agent_functions set function_type = 'python' where name = 'call' $$, '42501', null, 'of which none becomes code');
select lives_ok($$ insert into public.agents (id, user_id, name, purpose, railway_url)
  values ('b0000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000001', 'Upserted', 'x', 'https://agents.example.com')
  on conflict (id) do update set name = excluded.name, railway_url = excluded.railway_url $$, 'and saves an agent as an upsert');
select lives_ok($$ insert into public.agents (id, user_id, name, purpose, railway_url)
  values ('b0000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000001', 'Upserted', 'x', 'https://other.example.com')
  on conflict (id) do update set name = excluded.name, railway_url = excluded.railway_url $$, 'with another address too');
select is((railway_url, railway_url_requested)::text, '(https://agents.example.com,https://other.example.com)', 'which is a wish')
  from public.agents where id = 'b0000000-0000-4000-8000-000000000001';
select throws_ok($$ insert into public.agents (id, user_id, name, purpose, railway_url)
  values ('b0000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000001', 'Twice', 'x', 'https://other.example.com') $$, '23505', null, 'without the upsert there is one such agent');
select lives_ok($$ with gone as (delete from public.agents where id = 'b0000000-0000-4000-8000-000000000002' returning id)
  insert into public.agents (id, user_id, name, purpose, railway_url) select id, 'a0000000-0000-4000-8000-000000000001', 'New', 'x', 'https://evil.example' from gone $$, 'an agent may be replaced');
select is((railway_url, railway_url_requested)::text, '(,https://evil.example)', 'which approves nothing')
  from public.agents where id = 'b0000000-0000-4000-8000-000000000002';
reset role;
select pg_temp.speak_as('anon');
select throws_ok('select from public.agent_functions', '42501', null, 'nobody else sees functions');
reset role;

select * from finish();
rollback;
