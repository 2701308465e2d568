/** What the service adds to the columns of the platform's tables. */
export const SERVICE_COLUMNS: Record<string, string[]> = {
  agents: ['executor', 'entrypoint', 'max_steps', 'cache_seconds', 'railway_url_requested', 'railway_url_requested_at'],
  agent_schedules: ['unplanned_since', 'refusals', 'timed_at'],
  scheduled_runs: ['result', 'error', 'scheduled_for', 'run_id', 'request', 'lease_until', 'delivery_status', 'delivery_at', 'delivery_tries'],
  credit_balances: ['credits_reserved', 'credits_entered'],
  credit_usage: ['run_id'],
  agent_functions: [],
  api_keys: ['is_publishable', 'scopes', 'agent_ids', 'origins', 'requests_per_day', 'credits_per_day'],
  user_roles: [],
  conversations: [],
  messages: []
}

/** In which a bare database differs from a live project on purpose: it has no workspaces, and an agent may have several schedules. */
export const DIFFERENT = new Set([
  'constraint agents.agents_workspace_id_fkey',
  'constraint agent_schedules.agent_schedules_agent_id_key'
])
