import { AggregatorRegistry } from 'prom-client'
import type { MetricValues } from './metric.js'

/** Joins the values of several processes, each metric in its own way, and writes them in the text format of Prometheus. */
export function render (processes: readonly MetricValues[][]): Promise<string> {
  return AggregatorRegistry.aggregate([...processes]).metrics()
}

/** Joins what processes have counted that are gone. Of what went up and down nothing is left. */
export async function joinEnded (processes: readonly MetricValues[][]): Promise<MetricValues[]> {
  const counted = processes.map(values => values.filter(({ type }) => type !== 'gauge'))
  return await AggregatorRegistry.aggregate(counted).getMetricsAsJSON() as unknown as MetricValues[]
}
