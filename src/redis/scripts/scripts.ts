import { readFileSync } from 'node:fs'
import type { Redis, Result } from 'ioredis'

declare module 'ioredis' {
  interface RedisCommander<Context> {
    takeRounds (waitingKey: string, servedKey: string, usersKey: string, jobPrefix: string, maxRound: number, ...runsAndUsers: string[]): Result<number[], Context>
    serveRound (servedKey: string, round: number): Result<null, Context>
    takeAmount (windowKey: string, amount: number, max: number, windowMs: number): Result<number, Context>
    emitPosition (waitingKey: string, streamKey: string, runId: string, emitted: number, format: string, seconds: number): Result<number, Context>
  }
}

/** Adds the commands above to a connection. The scripts describe their arguments and results. */
export function defineScripts (redis: Redis): void {
  redis.defineCommand('takeRounds', { numberOfKeys: 4, lua: read('take-rounds') })
  redis.defineCommand('serveRound', { numberOfKeys: 1, lua: read('serve-round') })
  redis.defineCommand('takeAmount', { numberOfKeys: 1, lua: read('take-amount') })
  redis.defineCommand('emitPosition', { numberOfKeys: 2, lua: read('emit-position') })
}

/** The bundler copies the scripts beside the programs, so this path holds in `src` and in `dist`. */
function read (name: string): string {
  return readFileSync(new URL(`./${name}.lua`, import.meta.url), 'utf8')
}
