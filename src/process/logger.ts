import cluster from 'node:cluster'
import { destination, type DestinationStream, type Logger, pino, stdSerializers, stdTimeFunctions } from 'pino'

/** Lines are written together, when there are 8 KiB of them or after 50 ms: a write for each would be most of a log's cost. */
const BATCH = { minLength: 8192, periodicFlush: 50 }
/** Of several processes that write to one pipe: the kernel lets lines of up to 4 KiB come as they were written. */
const SHARED_BATCH = { minLength: 3072, maxWrite: 4096, periodicFlush: 50 }

/**
 * Creates the logger: one JSON line each, with `level` as a word and the text in `message`, as Railway reads them. Requests
 * are logged without URL and headers, which may hold tokens. Lines that are not written yet are flushed when the process ends.
 */
export function createLogger (level: string, stream: DestinationStream = openOutput()): Logger {
  const options = {
    level,
    messageKey: 'message',
    // Which of several processes that share a port.
    base: cluster.isWorker ? { pid: process.pid } : undefined,
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

function openOutput (): DestinationStream {
  return destination({ fd: 1, sync: false, ...cluster.isWorker ? SHARED_BATCH : BATCH })
}
