import type { FastifyInstance, FastifyRequest } from 'fastify'
import { errors, type ServiceError } from '#shared/errors.ts'
import { callerKey } from './client-address.js'

/** Bytes; what costs less is bounded by the number of requests alone. */
const SMALL_COST = 16 * 1024

/** Takes an amount of a key. Returns 0, or for how many milliseconds nothing is taken. */
type Take = (key: string, amount: number) => number | Promise<number>

/** Counts a request by a limit of @fastify/rate-limit. The result throws `rate_limited`. */
export function createCounter (count: ReturnType<FastifyInstance['createRateLimit']>) {
  return async (request: FastifyRequest): Promise<void> => {
    const state = await count(request)
    if (!state.isAllowed && state.isExceeded) throw refused(errors.rateLimited, state.ttl)
  }
}

/**
 * Counts what a body or message costs. The result throws `rate_limited`.
 * @param here counts for this process. If it says already that the caller must wait, Redis is not asked.
 * @param everywhere counts for all processes.
 */
export function createCostCounter (here: Take, everywhere: Take = () => 0) {
  return async (request: FastifyRequest, cost: number): Promise<void> => {
    // The edge function, whose requests are not counted either, sends for all users of the platform.
    if (cost <= SMALL_COST || request.routeOptions.config.rateLimit === false) return
    const key = callerKey(request)
    const waitMs = await here(key, cost) || await everywhere(key, cost)
    if (waitMs) throw refused(errors.tooMuchData, waitMs)
  }
}

/** @param ms milliseconds until the window ends. */
export function refused (define: (seconds: number) => ServiceError, ms: number): ServiceError {
  const retryAfter = Math.max(1, Math.ceil(ms / 1000))
  return define(retryAfter).with({ retryAfter })
}
