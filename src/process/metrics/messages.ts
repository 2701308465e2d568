import type { MetricValues } from '../../metrics/metric.js'

/** What the processes that share a port say to each other of metrics, by way of the one that has started them. */
export type MetricsMessage =
  /** A process is scraped, and asks for the values of all. */
  | { metrics: 'gather', scrape: number }
  /** The first process asks one for its values. */
  | { metrics: 'read', question: number }
  | { metrics: 'values', question: number, values: MetricValues[] }
  | { metrics: 'gathered', scrape: number, processes: MetricValues[][] }

/** Whether a message of another process is one of these. */
export function isMetricsMessage (message: unknown): message is MetricsMessage {
  return typeof message === 'object' && message !== null && 'metrics' in message
}
