import type { Redis } from 'ioredis'
import { PREFIX } from './keys.js'
import { defineScripts } from './scripts/scripts.js'

/**
 * Takes an amount of a key for all processes together. Returns 0, or for how many milliseconds nothing is taken of this key;
 * while Redis is away everything is taken.
 */
export type TakeAmount = (key: string, amount: number) => Promise<number>

/** @param windowMs how long a window lasts, from its first amount on; see `WindowCounter`, which counts the same for one process. */
export function createSharedCounter (redis: Redis, max: number, windowMs: number): TakeAmount {
  defineScripts(redis)
  return (key, amount) => redis.takeAmount(`${PREFIX}:amount:${key}`, amount, max, windowMs).catch(() => 0)
}
