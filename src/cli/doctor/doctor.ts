import { ConfigError, loadConfig, readVariables } from '../../config/config.js'
import { print, UsageError, verb } from '../commands/subcommands.js'
import { CHECKS, clock } from './checks.js'
import { type Check, type Finding, type Patient, wrong } from './finding.js'

/** Milliseconds for a check. The embedded database may have to be made. */
const PATIENCE_MS = 15_000
const EMBEDDED_MS = 90_000
const MARKS = { ok: 'ok   ', note: 'note ', wrong: 'WRONG' }

/** Looks at all that the service needs, from the outside in, and says what is wrong and what to do. */
export const doctor = verb({
  does: 'checks variables, Supabase, database, keys, gateway, Redis, Python and clock, and says what to do; ends with 1 if something is wrong.',
  options: {
    service: { type: 'string', value: '<url>', does: 'also shows a signed token to this service' }
  },
  async run ({ values }) {
    if (values.service !== undefined && !/^https?:\/\//.test(values.service)) throw new UsageError('--service takes the URL of a service, such as http://localhost:3000')
    const patient = meet(values.service?.replace(/\/+$/, ''))
    const findings = []
    // They run at once, and are told in order.
    const running = Object.entries(CHECKS).map(([name, check]) => examine(name, check, patient))
    for (const each of [...running, Promise.all(running).then(() => examine('clock', clock, patient))]) {
      const found = await each
      findings.push(...found)
      if (!values.json) for (const finding of found) print(describe(finding))
    }
    const isWell = findings.every(({ state }) => state !== 'wrong')
    if (values.json) print(JSON.stringify({ ok: isWell, findings }))
    if (!isWell) process.exitCode = 1
  }
})

function meet (service: string | undefined): Patient {
  const rest = { variables: readVariables(), service, clocks: [], signal: AbortSignal.timeout(PATIENCE_MS - 1000) }
  try {
    return { ...rest, config: loadConfig(), problems: [] }
  } catch (error) {
    if (error instanceof ConfigError) return { ...rest, config: error.config, problems: error.problems }
    throw error
  }
}

/** A check that fails or takes too long is a finding itself, and keeps no other from its own. */
async function examine (name: string, check: Check, patient: Patient): Promise<Finding[]> {
  const patience = name === 'database' && patient.config?.database.kind === 'embedded' ? EMBEDDED_MS : PATIENCE_MS
  let timer
  const late = new Promise<Finding[]>(resolve => {
    timer = setTimeout(() => resolve([wrong(name, `no answer within ${patience / 1000} s`, 'check that it runs and can be reached from here')]), patience)
  })
  try {
    return await Promise.race([check(patient), late])
  } catch (error) {
    return [wrong(name, `it ${/^does not/.test((error as Error).message) ? '' : 'fails: '}${(error as Error).message.replace(/\s+/g, ' ').slice(0, 300)}`, 'check its URL, and that it can be reached from here')]
  } finally {
    clearTimeout(timer)
  }
}

function describe ({ check, state, says, advice }: Finding): string {
  return `${MARKS[state]}  ${check.padEnd(9)}  ${says}${advice ? `: ${advice}` : ''}`
}
