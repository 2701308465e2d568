const ID = 'uuid not null default gen_random_uuid()'
const NOW = 'timestamp with time zone default now()'
const ALWAYS_NOW = 'timestamp with time zone not null default now()'

/** The columns of the tables that the platform's live project has, as it has them. */
export const LIVE_COLUMNS: Record<string, Record<string, string>> = {
  agents: {
    id: ID,
    user_id: 'uuid not null',
    name: 'text not null',
    description: 'text',
    purpose: 'text not null',
    tech_stack: 'jsonb',
    features: 'jsonb',
    status: "text default 'draft'",
    created_at: NOW,
    updated_at: NOW,
    system_prompt: "text default 'You are a helpful AI assistant.'",
    ai_model: "character varying(50) default 'google/gemini-2.5-flash'",
    temperature: 'numeric(2,1) default 0.7',
    max_tokens: 'integer default 1000',
    knowledge_base: "jsonb default '[]'",
    is_published: 'boolean default false',
    is_heavy: 'boolean default false',
    railway_url: 'text',
    workspace_id: 'uuid',
    is_shared_to_community: 'boolean default false',
    community_category: 'text',
    community_likes: 'integer default 0',
    shared_at: 'timestamp with time zone'
  },
  agent_functions: {
    id: ID,
    agent_id: 'uuid not null',
    name: 'text not null',
    description: 'text',
    function_type: 'text not null',
    trigger_keywords: "text[] default '{}'",
    config: "jsonb not null default '{}'",
    is_enabled: 'boolean not null default true',
    execution_order: 'integer not null default 0',
    created_at: ALWAYS_NOW,
    updated_at: ALWAYS_NOW
  },
  agent_schedules: {
    id: ID,
    agent_id: 'uuid not null',
    user_id: 'uuid not null',
    is_enabled: 'boolean not null default false',
    schedule_type: "text not null default 'daily'",
    cron_expression: "text not null default '0 9 * * *'",
    timezone: "text not null default 'UTC'",
    prompt_template: "text not null default 'Generate content'",
    last_run_at: 'timestamp with time zone',
    next_run_at: 'timestamp with time zone',
    run_count: 'integer not null default 0',
    last_result: "jsonb default '{}'",
    output_action: "text not null default 'store'",
    output_config: "jsonb default '{}'",
    created_at: ALWAYS_NOW,
    updated_at: ALWAYS_NOW
  },
  scheduled_runs: {
    id: ID,
    schedule_id: 'uuid not null',
    agent_id: 'uuid not null',
    user_id: 'uuid not null',
    status: "text not null default 'pending'",
    started_at: 'timestamp with time zone',
    completed_at: 'timestamp with time zone',
    generated_content: 'text',
    output_result: "jsonb default '{}'",
    error_message: 'text',
    credits_used: 'integer default 0',
    created_at: ALWAYS_NOW
  },
  api_keys: {
    id: ID,
    user_id: 'uuid not null',
    key_name: 'text not null',
    key_hash: 'text not null',
    key_prefix: 'text not null',
    last_used_at: 'timestamp with time zone',
    is_active: 'boolean default true',
    created_at: NOW,
    updated_at: NOW
  },
  credit_balances: {
    id: ID,
    user_id: 'uuid not null',
    credits_remaining: 'integer not null default 0',
    credits_used_this_month: 'integer not null default 0',
    plan_type: "text not null default 'basic'",
    created_at: NOW,
    updated_at: NOW
  },
  credit_usage: {
    id: ID,
    user_id: 'uuid not null',
    agent_id: 'uuid',
    credits_used: 'integer not null',
    operation_type: 'text not null',
    metadata: "jsonb default '{}'",
    created_at: NOW
  },
  user_roles: {
    id: ID,
    user_id: 'uuid not null',
    role: 'app_role not null',
    created_at: NOW
  },
  conversations: {
    id: ID,
    user_id: 'uuid',
    agent_id: 'uuid',
    title: 'text',
    created_at: NOW,
    updated_at: NOW
  },
  messages: {
    id: ID,
    conversation_id: 'uuid not null',
    role: 'text not null',
    content: 'text not null',
    created_at: NOW,
    attachments: "jsonb default '[]'"
  }
}

/** What the service adds to them. */
export const SERVICE_COLUMNS: Record<string, string[]> = {
  agents: ['executor', 'entrypoint', 'max_steps', 'cache_seconds'],
  agent_schedules: ['unplanned_since'],
  scheduled_runs: ['result', 'error', 'scheduled_for', 'run_id', 'request', 'lease_until', 'delivery_status', 'delivery_at', 'delivery_tries'],
  credit_balances: ['credits_reserved'],
  credit_usage: ['run_id']
}

/** The keys and checks of theirs that decide what may be written or what is deleted with what. */
export const LIVE_KEYS: Record<string, string> = {
  'agents.agents_user_id_fkey': 'FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE',
  'agent_functions.agent_functions_agent_id_fkey': 'FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE',
  'agent_schedules.agent_schedules_agent_id_fkey': 'FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE',
  'scheduled_runs.scheduled_runs_schedule_id_fkey': 'FOREIGN KEY (schedule_id) REFERENCES agent_schedules(id) ON DELETE CASCADE',
  'scheduled_runs.scheduled_runs_agent_id_fkey': 'FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE CASCADE',
  'credit_balances.credit_balances_user_id_key': 'UNIQUE (user_id)',
  'credit_usage.credit_usage_agent_id_fkey': 'FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE SET NULL',
  'user_roles.user_roles_user_id_role_key': 'UNIQUE (user_id, role)',
  'conversations.conversations_agent_id_fkey': 'FOREIGN KEY (agent_id) REFERENCES agents(id) ON DELETE SET NULL',
  'messages.messages_conversation_id_fkey': 'FOREIGN KEY (conversation_id) REFERENCES conversations(id) ON DELETE CASCADE',
  'messages.messages_role_check': "CHECK ((role = ANY (ARRAY['user'::text, 'assistant'::text])))"
}
