/** By which face of the service a run was begun. */
export const RUN_KINDS = ['execute', 'edge', 'websocket', 'chat_completions', 'responses', 'ai_sdk', 'mcp', 'ag_ui', 'schedule'] as const
export type RunKind = typeof RUN_KINDS[number]
