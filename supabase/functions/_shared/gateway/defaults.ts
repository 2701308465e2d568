/** The gateway of a configuration that names none but has its key. */
export const DEFAULT_GATEWAY_URL = 'https://ai.gateway.lovable.dev/v1'

/** The model of agents that name none, unless it is configured. */
export const DEFAULT_MODEL = 'google/gemini-2.5-flash'

export const DEFAULT_TEMPERATURE = 0.7

/** The longest answer of an agent that sets no limit, in tokens. */
export const DEFAULT_MAX_TOKENS = 1000
