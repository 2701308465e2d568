import cluster from 'node:cluster'
import { totalmem } from 'node:os'
import { getHeapStatistics } from 'node:v8'
import type { Config } from '../config/config.js'
import { version } from '../config/version.js'
import { CLOSE_MS, PRIMARY_MS } from '../shutdown.js'
import { logConsole } from './console.js'
import { endWith } from './ending.js'
import { createLogger } from './logger.js'
import { relayMetrics } from './metrics/relay-metrics.js'
import { ProcessGroup } from './process-group.js'

/** The part of the machine's memory that the heaps of all processes may take; the rest is buffers, Python and others. */
const HEAPS = 0.5
const MIB = 2 ** 20

/**
 * Runs the first of several processes that share a port, which starts, replaces and ends the others and does nothing else.
 * @param program the file that each of them runs.
 */
export async function runPrimary (program: string, config: Config): Promise<void> {
  const log = createLogger(config.logLevel)
  logConsole(log)
  for (const warning of config.warnings) log.warn(`config: ${warning}`)
  const processes = config.webConcurrency
  cluster.setupPrimary({ exec: program, args: [], execArgv: [...process.execArgv, `--max-old-space-size=${heapMib(processes)}`] })
  relayMetrics()
  const group = new ProcessGroup(processes, log)
  endWith({ delayMs: config.drainSeconds * 1000 + CLOSE_MS + PRIMARY_MS, log, mayForce: true, abandon: () => group.kill() }, async (reason, err) => {
    if (err) log.fatal({ err }, 'ending after an unexpected error')
    else log.info(`${reason} received: ending ${processes} processes`)
    const isClean = await group.end()
    log.info(isClean ? 'ended' : 'ended, and not every process as it should')
    if (!isClean) process.exit(1)
  })
  try {
    log.info({ processes, version, commit: config.commit }, `listening at ${await group.start()}`)
  } catch (error) {
    // A signal during the start ends what has started.
    if (group.isEnding) return
    await group.end()
    throw error
  }
}

/** The old space of each process in MiB: no more than one process alone would have, nor than its share of the machine. */
function heapMib (processes: number): number {
  const constrained = process.constrainedMemory()
  const memory = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem()
  return Math.floor(Math.min(getHeapStatistics().heap_size_limit, memory * HEAPS / processes) / MIB)
}
