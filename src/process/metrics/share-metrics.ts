import type { MetricValues } from '../../metrics/metric.js'
import type { Metrics } from '../../metrics/metrics.js'
import { isMetricsMessage, type MetricsMessage } from './messages.js'

/** How long the values of others are waited for; the first process waits for less. */
const PATIENCE_MS = 2_000

/** In one of several processes that share a port: answers for itself, and gathers the values of all when it is scraped. */
export function shareMetrics (metrics: Metrics): void {
  const scrapes = new Map<number, (processes: MetricValues[][]) => void>()
  let last = 0
  process.on('message', async message => {
    if (!isMetricsMessage(message)) return
    if (message.metrics === 'read') say({ metrics: 'values', question: message.question, values: await metrics.read() })
    if (message.metrics === 'gathered') scrapes.get(message.scrape)?.(message.processes)
  })
  metrics.gatherBy(() => new Promise(resolve => {
    const scrape = ++last
    const end = (processes: MetricValues[][]) => {
      clearTimeout(timer)
      scrapes.delete(scrape)
      resolve(processes)
    }
    // Without the first process there are its own.
    const timer = setTimeout(() => { metrics.read().then(values => end([values])) }, PATIENCE_MS)
    scrapes.set(scrape, end)
    say({ metrics: 'gather', scrape })
  }))
}

function say (message: MetricsMessage): void {
  if (process.connected) process.send!(message)
}
