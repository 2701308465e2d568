import type { ParentSpan } from './trace-context.ts'

/** The samplers of OpenTelemetry that OTEL_TRACES_SAMPLER may name. */
export const SAMPLERS = [
  'always_on', 'always_off', 'traceidratio', 'parentbased_always_on', 'parentbased_always_off', 'parentbased_traceidratio'
] as const
export type SamplerName = typeof SAMPLERS[number]

/** Whether spans of a trace are recorded. @param parent the caller's span, if one was handed on. */
export type Sampler = (traceId: string, parent?: Pick<ParentSpan, 'isSampled'>) => boolean

/** How many bits at the end of a trace's id are random by the standard, in hexadecimal digits. */
const RANDOM_DIGITS = 14

/** @param ratio the share of traces that `traceidratio` records, from 0 to 1. */
export function createSampler (name: SamplerName, ratio: number): Sampler {
  const isParentBased = name.startsWith('parentbased_')
  const own: Sampler = name.endsWith('always_on') ? () => true : name.endsWith('always_off') ? () => false : traceId => isWithin(traceId, ratio)
  return (traceId, parent) => isParentBased && parent ? parent.isSampled : own(traceId)
}

/** The same for every process that sees a part of the trace. */
function isWithin (traceId: string, ratio: number): boolean {
  return parseInt(traceId.slice(-RANDOM_DIGITS), 16) / 16 ** RANDOM_DIGITS < ratio
}
