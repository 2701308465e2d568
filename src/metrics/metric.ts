import type { Distribution } from '../lib/counts/distribution.js'
import type { Tally } from '../lib/counts/tally.js'
import type { Sources } from './sources.js'

/** A value of a metric. `metricName`: of a histogram, the name of the series that it belongs to. */
export interface Sample { labels: Record<string, string | number>, value: number, metricName?: string }

/** How the values of several processes become one. */
export type Join = 'sum' | 'max' | 'min' | 'first'

/** A metric: its name, what it means, and where its values are read. */
export interface Metric {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** Each label with its values, if all of them are known; then those that have not occurred are zero, so that the first one is seen. */
  readonly labels: Readonly<Record<string, readonly string[] | undefined>>
  readonly join: Join
  /** Reads what this process has; nothing, where it has nothing to say. */
  read (sources: Sources): Sample[] | Promise<Sample[]>
}

/** The values of a metric in one process, as `prom-client` joins them. */
export interface MetricValues extends Pick<Metric, 'name' | 'help' | 'type'> { aggregator: Join, values: Sample[] }

type Value = number | undefined

/** A number that only grows. */
export function counter (name: string, help: string, read: (sources: Sources) => Value): Metric {
  return { name, help, type: 'counter', labels: {}, join: 'sum', read: sources => single(read(sources)) }
}

/** Numbers that only grow, by labels. */
export function counters<Label extends string> (
  name: string, help: string, labels: Record<Label, readonly string[] | undefined>, read: (sources: Sources) => Tally<Label> | undefined
): Metric {
  return {
    name,
    help,
    type: 'counter',
    labels,
    join: 'sum',
    read (sources) {
      const tally = read(sources)
      return tally ? withZeros(labels, tally.counts.map(({ labels, count: value }) => ({ labels, value }))) : []
    }
  }
}

/** A number that goes up and down. */
export function gauge (name: string, help: string, join: Join, read: (sources: Sources) => Value | Promise<Value>): Metric {
  return { name, help, type: 'gauge', labels: {}, join, read: async sources => single(await read(sources)) }
}

/** Numbers that go up and down, by the values of one label. */
export function gauges<Value extends string> (
  name: string, help: string, label: string, values: readonly Value[], read: (sources: Sources) => Record<Value, number> | undefined
): Metric {
  return {
    name,
    help,
    type: 'gauge',
    labels: { [label]: values },
    join: 'sum',
    read: sources => Object.entries<number>(read(sources) ?? {}).map(([value, number]) => ({ labels: { [label]: value }, value: number }))
  }
}

/** How values are distributed. */
export function histogram (name: string, help: string, read: (sources: Sources) => Distribution): Metric {
  return {
    name,
    help,
    type: 'histogram',
    labels: {},
    join: 'sum',
    read (sources) {
      const { cumulative, sum, count } = read(sources)
      return [
        ...cumulative.map(({ bound, count }) => ({ metricName: `${name}_bucket`, labels: { le: bound === Infinity ? '+Inf' : bound }, value: count })),
        { metricName: `${name}_sum`, labels: {}, value: sum },
        { metricName: `${name}_count`, labels: {}, value: count }
      ]
    }
  }
}

function single (value: Value): Sample[] {
  return value === undefined ? [] : [{ labels: {}, value }]
}

/** What has not occurred is zero, if it is known what may occur. */
function withZeros (labels: Metric['labels'], samples: Sample[]): Sample[] {
  const seen = new Set(samples.map(keyOf))
  const zeros = combine(Object.entries(labels)).map(labels => ({ labels, value: 0 })).filter(sample => !seen.has(keyOf(sample)))
  return [...samples, ...zeros]
}

/** All combinations; none, if the values of a label are not known. */
function combine (labels: Array<[string, readonly string[] | undefined]>): Array<Record<string, string>> {
  return labels.reduce<Array<Record<string, string>>>(
    (combined, [name, values = []]) => combined.flatMap(labels => values.map(value => ({ ...labels, [name]: value }))), [{}])
}

function keyOf ({ labels }: Sample): string {
  return Object.entries(labels).map(([name, value]) => `${name}=${value}`).sort().join()
}
