import type { Config } from '../../config/config.js'

/** What a check has found: `note` is worth a look, and `wrong` keeps the service from working as it should. */
export interface Finding {
  check: string
  state: 'ok' | 'note' | 'wrong'
  /** What is so, in a sentence that names no secret. */
  says: string
  /** What to do about it. */
  advice?: string
}

/** What checks look at. */
export interface Patient {
  /** What the variables say, as far as they can be read. */
  config?: Config
  /** What is wrong with them, a sentence each. */
  problems: string[]
  variables: NodeJS.ProcessEnv
  /** The service to look at from outside, if one was named. */
  service?: string
  /** Where the time of others is noted: their name, and how many seconds they are ahead of this machine. */
  clocks: Array<{ name: string, ahead: number }>
  signal: AbortSignal
}

export type Check = (patient: Patient) => Promise<Finding[]>

export const ok = (check: string, says: string): Finding => ({ check, state: 'ok', says })
export const note = (check: string, says: string, advice?: string): Finding => ({ check, state: 'note', says, advice })
export const wrong = (check: string, says: string, advice?: string): Finding => ({ check, state: 'wrong', says, advice })

/** What a server answers, whose `Date` is noted. @throws {Error} a few words: it does not answer. */
export async function ask ({ clocks, signal }: Patient, name: string, url: string, headers: Record<string, string> = {}): Promise<Response> {
  const before = Date.now()
  const response = await fetch(url, { headers, signal, redirect: 'manual' }).catch(error => {
    const cause = (error.cause ?? error) as Error & { code?: string }
    throw new Error(`does not answer (${cause.code ?? cause.message})`)
  })
  const date = Date.parse(response.headers.get('date') ?? '')
  // The header has whole seconds.
  if (Number.isFinite(date)) clocks.push({ name, ahead: (date + 500 - (before + Date.now()) / 2) / 1000 })
  return response
}
