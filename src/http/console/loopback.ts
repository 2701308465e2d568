import type { FastifyRequest } from 'fastify'

const LOOPBACK_PEER = /^(127\.|::1$)/
const LOOPBACK_HOST = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/
/** What proxies and tunnels say of whom they speak for. */
const FORWARDED = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip']

/**
 * Whether a request comes from this machine, by nobody in between and from no page of another origin: the name it asks for is
 * loopback's too, since another site's name may lead here (DNS rebinding).
 */
export function isLoopback ({ socket, headers }: FastifyRequest): boolean {
  const { host = '', origin, 'sec-fetch-site': site = 'none' } = headers
  return LOOPBACK_PEER.test((socket.remoteAddress ?? '').replace(/^::ffff:/, '')) &&
    LOOPBACK_HOST.test(host) &&
    (origin === undefined || origin === `http://${host}`) &&
    ['none', 'same-origin'].includes(String(site)) &&
    FORWARDED.every(name => headers[name] === undefined)
}
