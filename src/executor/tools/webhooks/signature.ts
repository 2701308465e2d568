import { Webhook } from 'standardwebhooks'
import { ToolError } from '../tool.js'

/** In bytes, by Standard Webhooks 1.0. */
const MIN_KEY = 24
const MAX_KEY = 64

/**
 * The headers of a webhook by Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp` and `webhook-signature`.
 * @param secret `whsec_` and base64; without a secret the webhook is not signed.
 * @param timestamp in seconds.
 * @throws {ToolError} if the secret is not valid.
 */
export function webhookHeaders (id: string, timestamp: number, body: string, secret?: string): Record<string, string> {
  const headers = { 'content-type': 'application/json', 'webhook-id': id, 'webhook-timestamp': String(timestamp) }
  if (!secret) return headers
  checkSecret(secret)
  return { ...headers, 'webhook-signature': new Webhook(secret).sign(id, new Date(timestamp * 1000), body) }
}

/** @throws {ToolError} if it is not a secret of the standard: `whsec_` and 24 to 64 bytes in base64. */
export function checkSecret (secret: string): void {
  const [, base64 = ''] = /^whsec_([A-Za-z\d+/]+={0,2})$/.exec(secret) ?? []
  const { length } = Buffer.from(base64, 'base64')
  if (length < MIN_KEY || length > MAX_KEY) throw new ToolError('The function\'s secret must be whsec_ and 24 to 64 bytes in base64.')
}
