import type { ApiKey, KeyLimits } from '../../contract/api-keys.js'

/** The SQL functions for users' API keys. */
export interface KeyFunctions {
  /** A user's keys, revoked ones too, newest first. */
  list_api_keys: { args: { p_user_id: string, p_limit: number }, result: { keys: ApiKey[] } }
  /** Registers a key by the SHA-256 of it, in hex. Raises `unauthorized`, `agent_not_found`, `too_many_keys`. */
  create_api_key: {
    args: { p_user_id: string, p_name: string, p_key_hash: string, p_key_prefix: string, p_limits: KeyLimits }
    result: ApiKey
  }
  /** Raises `key_not_found`. */
  revoke_api_key: { args: { p_user_id: string, p_api_key_id: string }, result: ApiKey }
}
