import closeWithGrace from 'close-with-grace'
import type { Logger } from 'pino'

/** What ends a process. Anything else that does is a fault. */
const ENDS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const
/** One signal may arrive several times: from the terminal or the platform, from npm, and from the process that started this one. */
const ONCE_MS = 2_000

export interface EndingOptions {
  /** How long the end may take, in milliseconds. */
  delayMs: number
  log: Pick<Logger, 'error' | 'fatal' | 'info' | 'warn'>
  /** Whether another signal, later than ONCE_MS, ends the process at once. Of several processes the first one decides that. */
  mayForce: boolean
  /** What is done before the process exits without having ended: it was forced, failed again, or took too long. */
  abandon? (): void
}

/**
 * Calls `end` once, at a signal or an unexpected error, and exits after it. Whatever keeps it from its end is in the log.
 * @param end logs its own beginning; it is given the signal, or the error.
 */
export function endWith ({ delayMs, log, mayForce, abandon = () => {} }: EndingOptions, end: (reason: string, err?: Error) => Promise<void>): void {
  let reason: string | undefined
  let at = 0
  const begin = (name: string) => {
    reason = name
    at = performance.now()
  }
  const { close } = closeWithGrace({
    delay: delayMs,
    logger: false,
    skip: [...ENDS],
    onSecondSignal (signal) {
      log.warn(`${signal} received again: ended at once`)
      abandon()
    },
    onSecondError (err) {
      log.fatal({ err }, 'an unexpected error while ending: ended at once')
      abandon()
    },
    onTimeout () {
      log.error({ delayMs }, 'the end took too long: ended at once')
      abandon()
    }
  }, ({ signal, err }) => {
    if (reason === undefined) begin(signal ?? (err ? 'error' : 'exit'))
    return end(reason!, err)
  })
  for (const signal of ENDS) {
    process.on(signal, () => {
      if (reason === undefined) {
        begin(signal)
        close()
      } else if (mayForce && performance.now() - at > ONCE_MS) {
        log.warn(`${signal} received again: ended at once`)
        abandon()
        process.exit(1)
      }
    })
  }
}
