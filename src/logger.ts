import { pino, stdSerializers, stdTimeFunctions, type DestinationStream, type Logger } from 'pino'

/**
 * One JSON line each, with `level` as a word and the text in `message`, as Railway reads them. Requests are described
 * without their URL and headers, where tokens and keys are.
 */
export function createLogger (level: string, destination?: DestinationStream): Logger {
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
  return destination ? pino(options, destination) : pino(options)
}
