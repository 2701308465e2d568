/** On whose behalf a request is made. */
export interface Caller {
  readonly kind: 'user' | 'api_key'
  readonly userId: string
  /** When the access token ends, in milliseconds since 1970; an API key has no end. */
  readonly expiresAt: number
  /** The hash of the API key, or the session of the access token, where it names one: by these it is seen that they were revoked. */
  readonly keyHash?: string
  readonly sessionId?: string
}
