import { destination, type DestinationStream, type Logger, pino, stdSerializers, stdTimeFunctions } from 'pino'

/** A write a line would cost a run more than all else of its log: lines wait for so many bytes, and so many milliseconds at the most. */
const BATCH = { minLength: 8192, periodicFlush: 50 }

/**
 * One JSON line each, with `level` as a word and the text in `message`, as Railway reads them. Requests are described
 * without their URL and headers, where tokens and keys are. What is still to be written when the process ends is written then.
 */
export function createLogger (level: string, stream: DestinationStream = destination({ fd: 1, sync: false, ...BATCH })): Logger {
  const options = {
    level,
    messageKey: 'message',
    base: undefined,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: {
      req: ({ method, id }: { method?: string, id?: unknown }) => ({ method, id }),
      res: ({ statusCode }: { statusCode?: number }) => ({ statusCode }),
      err: stdSerializers.errWithCause
    }
  }
  return pino(options, stream)
}
