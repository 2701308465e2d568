import { createHmac } from 'node:crypto'
import { ToolError } from '../tool.js'

/**
 * The headers of a webhook by Standard Webhooks 1.0.
 * @param secret `whsec_` and base64; without one the webhook is not signed.
 * @param timestamp in seconds.
 */
export function webhookHeaders (id: string, timestamp: number, body: string, secret?: string): Record<string, string> {
  const headers = { 'content-type': 'application/json', 'webhook-id': id, 'webhook-timestamp': String(timestamp) }
  if (!secret) return headers
  const signature = createHmac('sha256', keyOf(secret)).update(`${id}.${timestamp}.${body}`).digest('base64')
  return { ...headers, 'webhook-signature': `v1,${signature}` }
}

/** @throws {ToolError} where it is no secret of the standard, which has 24 to 64 bytes. */
export function keyOf (secret: string): Buffer {
  const [, base64 = ''] = /^whsec_([A-Za-z\d+/]+={0,2})$/.exec(secret) ?? []
  const key = Buffer.from(base64, 'base64')
  if (key.length < 24 || key.length > 64) throw new ToolError('The function\'s secret must be whsec_ and 24 to 64 bytes in base64.')
  return key
}
