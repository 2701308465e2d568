import cluster from 'node:cluster'
import { destination, type DestinationStream, type Logger, pino, stdSerializers, stdTimeFunctions } from 'pino'

/** Lines are written together, when there are 8 KiB of them or after FLUSH_MS: a write for each would be most of a log's cost. */
const BATCH = { minLength: 8192 }
/** Of several processes that write to one pipe: the kernel lets lines of up to 4 KiB come as they were written. */
const SHARED_BATCH = { minLength: 3072, maxWrite: 4096 }
const FLUSH_MS = 50

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

/** Opens what lines are written to: standard output, or another file. */
export function openOutput (fd = 1): DestinationStream {
  const output = destination({ fd, sync: false, ...cluster.isWorker ? SHARED_BATCH : BATCH })
  flushWhileWritten(output)
  return output
}

/**
 * Flushes as the library's `periodicFlush` would, but only while there are lines: that one writes an empty text each time, by
 * a thread, for as long as the process lives.
 */
function flushWhileWritten (output: ReturnType<typeof destination>): void {
  const write = output.write.bind(output)
  let timer: NodeJS.Timeout | undefined
  let hasNew = false
  // A flush during a write does nothing: the last one must come after all writes have ended.
  let hasDrained = true
  output.on('drain', () => { hasDrained = true })
  output.write = line => {
    hasNew = true
    timer ??= setInterval(flush, FLUSH_MS).unref()
    return write(line)
  }

  function flush (): void {
    // Its types leave that out. Pino ends the output when the process has nothing left to do.
    if ('destroyed' in output && output.destroyed) return clearInterval(timer)
    const isLast = !hasNew && hasDrained
    hasNew = hasDrained = false
    if (isLast) {
      clearInterval(timer)
      timer = undefined
    }
    output.flush()
  }
}
