import { problemOfNumber } from '#shared/environment/numbers.ts'
import { readList } from '#shared/http/private-hosts.ts'
import type { Environment } from './environment.js'
import { distance, findMisspelt } from './misspelt.js'

/** What a warning is about: the variables as they were read, all that there are, and whether Railway runs the process. */
interface Surroundings { env: Environment, variables: NodeJS.ProcessEnv, isOnRailway: boolean }

/** What Railway sets by itself; others whose names begin with RAILWAY are ours, and the commit may be said anywhere. */
const OF_RAILWAY = /^(?!RAILWAY_GIT_COMMIT_SHA$)RAILWAY_(PROJECT|ENVIRONMENT|SERVICE|REPLICA|SNAPSHOT|VOLUME|GIT|PUBLIC|PRIVATE|STATIC|TCP)_?\w*$|^RAILWAY_DEPLOYMENT_ID$/
/** Seconds after which Railway cuts a request. */
const RAILWAY_CUT = 900
/** Seconds that a process needs for its end after its runs. */
const END_SECONDS = 10
/** Milliseconds; a shorter window was meant in seconds. */
const SHORT_WINDOW = 1000
const PRODUCTION = 'production'

/** Each finds what is probably meant otherwise, and says what to write. What cannot work is a problem and not a warning. */
const WARNINGS: ReadonlyArray<(surroundings: Surroundings) => string | string[] | false> = [
  ({ env: { NODE_ENV: mode }, variables, isOnRailway }) => variables.NODE_ENV?.trim()
    ? isNearlyProduction(mode) && `NODE_ENV is "${mode}", which is not ${PRODUCTION}: write NODE_ENV=${PRODUCTION}`
    : isOnRailway && `NODE_ENV is not set, on Railway: write NODE_ENV=${PRODUCTION}, without which secrets that can be guessed and the demo rows are taken`,

  ({ env }) => readList(env.CORS_ORIGINS).filter(origin => origin !== '*' && origin.includes('*'))
    .map(origin => `CORS_ORIGINS has "${origin}", which matches no origin, since patterns are not known: write each origin, or * alone`),

  ({ env: { RATE_LIMIT_WINDOW: window } }) => window < SHORT_WINDOW &&
    `RATE_LIMIT_WINDOW is ${window} milliseconds: if seconds are meant, write ${window * 1000}`,

  ({ env: { SSE_MAX_SECONDS: seconds }, isOnRailway }) => isOnRailway && seconds >= RAILWAY_CUT &&
    `SSE_MAX_SECONDS is ${seconds}, and Railway cuts a connection after ${RAILWAY_CUT}: write 840, so that readers are told to come back`,

  surroundings => surroundings.isOnRailway && findShortDraining(surroundings),

  ({ variables }) => findMisspelt(Object.keys(variables))
    .map(({ name, meant }) => `${name} is no variable of this service: write ${meant}, if that is meant`)
]

/** What an environment that can work probably means otherwise, one sentence each. @param variables all of the environment's. */
export function findWarnings (env: Environment, variables: NodeJS.ProcessEnv): string[] {
  const isOnRailway = Object.keys(variables).some(name => OF_RAILWAY.test(name))
  return WARNINGS.flatMap(find => find({ env, variables, isOnRailway }) || [])
}

function isNearlyProduction (mode: string): boolean {
  return mode !== PRODUCTION && (/^prod/i.test(mode) || distance(mode.toLowerCase(), PRODUCTION) <= 3)
}

function findShortDraining ({ env, variables }: Surroundings): string | false {
  const name = 'RAILWAY_DEPLOYMENT_DRAINING_SECONDS'
  const needed = Math.ceil(env.DRAIN_SECONDS) + END_SECONDS
  const text = variables[name]?.trim()
  const write = `write ${needed}, ${END_SECONDS} more than DRAIN_SECONDS`
  if (!text) return `${name} is not set: ${write}, or Railway kills a process whose runs are ending, unless its settings there say as much`
  return problemOfNumber(name, text, 'number') ?? (Number(text) < needed && `${name} is ${text}: ${write}, or Railway kills a process whose runs are ending`)
}
