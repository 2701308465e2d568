import type { Api } from './api.js'

export interface Agent {
  id: string
  user_id: string
  name: string
  description: string | null
  purpose?: string
  system_prompt?: string | null
  ai_model?: string | null
  temperature?: number | null
  max_tokens?: number | null
  knowledge_base?: unknown
  is_published: boolean
  is_heavy?: boolean
  executor?: string
  entrypoint?: string | null
  railway_url?: string | null
  railway_url_requested?: string | null
}

export interface AgentFunction {
  id: string
  agent_id: string
  name: string
  description: string | null
  function_type: string
  trigger_keywords: string[] | null
  config: Record<string, unknown>
  is_enabled: boolean
  execution_order: number
}

export interface Schedule {
  id: string
  agent_id: string
  is_enabled: boolean
  cron_expression: string
  timezone: string
  prompt_template: string
  output_action: string
  output_config: Record<string, unknown> | null
  last_run_at: string | null
  next_run_at: string | null
  run_count: number
  last_result: { success?: boolean, error?: string } | null
}

export interface Firing {
  id: string
  status: string
  started_at: string | null
  completed_at: string | null
  generated_content: string | null
  error_message: string | null
  credits_used: number | null
  run_id: string | null
}

export type Table = 'agents' | 'agent_functions' | 'agent_schedules'
type RowOf = { agents: Agent, agent_functions: AgentFunction, agent_schedules: Schedule }

/** The rows that a user reads and writes: beside Supabase by its REST interface, otherwise by the service's API. */
export interface Rows {
  /** The user's own agents, and without a project those that others have published. */
  agents (): Promise<Agent[]>
  /** @returns an agent of the user's as a whole; undefined if there is none. */
  agent (id: string): Promise<Agent | undefined>
  functions (agentId: string): Promise<AgentFunction[]>
  schedules (): Promise<Schedule[]>
  /** The newest 20 of an agent. */
  firings (agentId: string): Promise<Firing[]>
  /** Makes a row, or changes the one whose id it has. */
  save<T extends Table> (table: T, row: Partial<RowOf[T]>): Promise<RowOf[T]>
  remove (table: Table, id: string): Promise<void>
}

const PATHS: Readonly<Record<Table, string>> = { agents: '/api/agents', agent_functions: '/api/functions', agent_schedules: '/api/schedules' }

/** Rows by the service's API. */
export class ApiRows implements Rows {
  constructor (private readonly api: Api) {}

  agents (): Promise<Agent[]> { return this.#list('/api/agents') }
  async agent (id: string): Promise<Agent | undefined> { return (await this.#list<Agent>('/api/agents', id))[0] }
  functions (agentId: string): Promise<AgentFunction[]> { return this.#list('/api/functions', agentId) }
  schedules (): Promise<Schedule[]> { return this.#list('/api/schedules') }
  firings (agentId: string): Promise<Firing[]> { return this.#list('/api/firings', agentId) }
  save<T extends Table> (table: T, row: Partial<RowOf[T]>): Promise<RowOf[T]> { return this.api.post(PATHS[table], row) }
  async remove (table: Table, id: string): Promise<void> { await this.api.delete(`${PATHS[table]}/${id}`) }

  async #list<T> (path: string, agentId?: string): Promise<T[]> {
    return (await this.api.get<{ rows: T[] }>(path, { agentId })).rows
  }
}
