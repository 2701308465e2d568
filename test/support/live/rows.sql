-- Some rows of a live project. test/support/live/project.ts names the users and agents.
insert into auth.users (id, email) values
  ('aaaaaaaa-0000-4000-8000-000000000001', 'admin@example.com'),
  ('aaaaaaaa-0000-4000-8000-000000000002', 'pro@example.com'),
  ('aaaaaaaa-0000-4000-8000-000000000003', 'last-credit@example.com'),
  ('aaaaaaaa-0000-4000-8000-000000000004', 'overdrawn@example.com'),
  ('aaaaaaaa-0000-4000-8000-000000000005', 'newcomer@example.com');

-- The newcomer has neither a profile nor a balance: nothing makes them at sign-up.
insert into public.profiles (id, full_name) values
  ('aaaaaaaa-0000-4000-8000-000000000001', 'An admin'),
  ('aaaaaaaa-0000-4000-8000-000000000002', 'A paying user');
insert into public.user_roles (user_id, role) values
  ('aaaaaaaa-0000-4000-8000-000000000001', 'admin'),
  ('aaaaaaaa-0000-4000-8000-000000000002', 'user');
insert into public.credit_balances (user_id, credits_remaining, credits_used_this_month, plan_type) values
  ('aaaaaaaa-0000-4000-8000-000000000001', 42, 8, 'basic'),
  ('aaaaaaaa-0000-4000-8000-000000000002', 480, 20, 'pro'),
  ('aaaaaaaa-0000-4000-8000-000000000003', 1, 4, 'basic'),
  ('aaaaaaaa-0000-4000-8000-000000000004', -5, 55, 'team-2023');

insert into public.workspaces (id, name, owner_id) values
  ('cccccccc-0000-4000-8000-000000000001', 'Together', 'aaaaaaaa-0000-4000-8000-000000000002');
insert into public.workspace_members (workspace_id, user_id, role) values
  ('cccccccc-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000002', 'owner'),
  ('cccccccc-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000003', 'viewer');

insert into public.agents (id, user_id, name, purpose, status, is_published, is_heavy, railway_url, workspace_id, is_shared_to_community) values
  ('bbbbbbbb-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000002', 'Heavy helper', 'To help.', 'active', true, true, null, null, false),
  ('bbbbbbbb-0000-4000-8000-000000000002', 'aaaaaaaa-0000-4000-8000-000000000002', 'Writer', 'To write.', 'active', true, false, null,
    'cccccccc-0000-4000-8000-000000000001', false),
  ('bbbbbbbb-0000-4000-8000-000000000003', 'aaaaaaaa-0000-4000-8000-000000000001', 'Shared helper', 'For everybody.', 'active', true, false, null, null, true),
  ('bbbbbbbb-0000-4000-8000-000000000004', 'aaaaaaaa-0000-4000-8000-000000000003', 'Draft', 'To try.', 'draft', false, false, null, null, false);
insert into public.agent_functions (agent_id, name, function_type, trigger_keywords, config) values
  ('bbbbbbbb-0000-4000-8000-000000000001', 'Weather', 'api_call', '{weather}', '{"url": "https://weather.example/now", "method": "GET"}'),
  ('bbbbbbbb-0000-4000-8000-000000000002', 'Tell', 'webhook', '{}', '{"webhook_url": "https://hooks.example/tell", "trigger_event": "always"}');

insert into public.agent_schedules (id, agent_id, user_id, is_enabled, output_action, output_config, next_run_at, run_count, last_run_at, last_result) values
  ('dddddddd-0000-4000-8000-000000000001', 'bbbbbbbb-0000-4000-8000-000000000002', 'aaaaaaaa-0000-4000-8000-000000000002', true, 'webhook',
    '{"url": "https://hooks.example/daily", "method": "POST", "headers": {"authorization": "Bearer x"}, "extra_data": {"site": 1}}',
    now() + interval '1 hour', 2, now() - interval '1 day', '{"success": true, "content_length": 12}'),
  ('dddddddd-0000-4000-8000-000000000002', 'bbbbbbbb-0000-4000-8000-000000000004', 'aaaaaaaa-0000-4000-8000-000000000003', false, 'store', '{}',
    null, 0, null, '{}');
insert into public.scheduled_runs (schedule_id, agent_id, user_id, status, started_at, completed_at, generated_content, output_result, error_message, credits_used) values
  ('dddddddd-0000-4000-8000-000000000001', 'bbbbbbbb-0000-4000-8000-000000000002', 'aaaaaaaa-0000-4000-8000-000000000002', 'completed',
    now() - interval '1 day', now() - interval '1 day', 'Good morning', '{"success": true, "status": 200}', null, 1),
  ('dddddddd-0000-4000-8000-000000000001', 'bbbbbbbb-0000-4000-8000-000000000002', 'aaaaaaaa-0000-4000-8000-000000000002', 'failed',
    now() - interval '2 days', now() - interval '2 days', null, '{}', 'Insufficient credits', 0);

insert into public.api_keys (user_id, key_name, key_hash, key_prefix) values
  ('aaaaaaaa-0000-4000-8000-000000000002', 'Site', encode(sha256('jsk_0123456789abcdef0123456789abcdef'), 'hex'), 'jsk_01234567');

insert into public.credit_usage (user_id, agent_id, credits_used, operation_type, metadata, created_at) values
  ('aaaaaaaa-0000-4000-8000-000000000002', 'bbbbbbbb-0000-4000-8000-000000000001', 1, 'agent_runtime', '{"heavy": true}', now() - interval '2 days'),
  ('aaaaaaaa-0000-4000-8000-000000000002', 'bbbbbbbb-0000-4000-8000-000000000002', 2, 'scheduled_run', null, now() - interval '1 day'),
  ('aaaaaaaa-0000-4000-8000-000000000003', null, 1, 'agent_chat', '{}', now() - interval '60 days'),
  ('aaaaaaaa-0000-4000-8000-000000000004', null, 2, 'agent_creation', '{}', now() - interval '40 days');

insert into public.conversations (id, user_id, agent_id, title) values
  ('eeeeeeee-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000002', null, 'How do I …'),
  ('eeeeeeee-0000-4000-8000-000000000002', null, null, 'Of nobody');
insert into public.messages (conversation_id, role, content) values
  ('eeeeeeee-0000-4000-8000-000000000001', 'user', 'How do I make an agent?'),
  ('eeeeeeee-0000-4000-8000-000000000001', 'assistant', 'Press the button.');
insert into public.platform_analytics (user_id, event_type, prompt_text) values
  ('aaaaaaaa-0000-4000-8000-000000000002', 'prompt', 'How do I make an agent?');
