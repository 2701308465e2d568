import { problemOfNumber } from '../environment/numbers.ts'
import { SAMPLERS } from './sampler.ts'
import { readTraceSettings, type TraceSettings } from './settings.ts'

const YES = new Set(['true', 'yes', 'on', '1'])
const NO = new Set(['false', 'no', 'off', '0'])
const DEFAULT_TIMEOUT = 10_000
const MAX_TIMEOUT = 60_000

/**
 * Reads where spans are sent from variables that are texts alone, as the edge function has them. What cannot be read counts as not set.
 * @param read the variable of a name, without blanks around it; undefined if it is not set.
 */
export function readTraceTexts (read: (name: string) => string | undefined, serviceName: string, problems: string[]): TraceSettings | undefined {
  return readTraceSettings({
    OTEL_EXPORTER_OTLP_ENDPOINT: read('OTEL_EXPORTER_OTLP_ENDPOINT'),
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: read('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'),
    OTEL_EXPORTER_OTLP_PROTOCOL: read('OTEL_EXPORTER_OTLP_PROTOCOL'),
    OTEL_EXPORTER_OTLP_HEADERS: read('OTEL_EXPORTER_OTLP_HEADERS'),
    OTEL_EXPORTER_OTLP_TIMEOUT: readNumber('OTEL_EXPORTER_OTLP_TIMEOUT', { kind: 'integer', from: 1, to: MAX_TIMEOUT, fallback: DEFAULT_TIMEOUT }),
    OTEL_SERVICE_NAME: read('OTEL_SERVICE_NAME'),
    OTEL_RESOURCE_ATTRIBUTES: read('OTEL_RESOURCE_ATTRIBUTES'),
    OTEL_TRACES_SAMPLER: readSampler(),
    OTEL_TRACES_SAMPLER_ARG: readNumber('OTEL_TRACES_SAMPLER_ARG', { kind: 'number', from: 0, to: 1, fallback: 1 }),
    OTEL_SDK_DISABLED: readBoolean('OTEL_SDK_DISABLED'),
    OTEL_CAPTURE_CONTENT: readBoolean('OTEL_CAPTURE_CONTENT')
  }, serviceName, problems)

  function readNumber (name: string, { kind, from, to, fallback }: { kind: 'integer' | 'number', from: number, to: number, fallback: number }): number {
    const text = read(name)
    if (text === undefined) return fallback
    const value = Number(text)
    const isInRange = value >= from && value <= to && (kind === 'number' || Number.isInteger(value))
    const problem = problemOfNumber(name, text, kind) ?? (isInRange ? undefined : `${name} must be from ${from} to ${to}`)
    if (problem) problems.push(`${problem}; until then it is ${fallback}`)
    return problem ? fallback : value
  }

  function readSampler (): string {
    const name = read('OTEL_TRACES_SAMPLER')?.toLowerCase() ?? 'parentbased_always_on'
    if ((SAMPLERS as readonly string[]).includes(name)) return name
    problems.push(`OTEL_TRACES_SAMPLER must be one of ${SAMPLERS.join(', ')}; until then nothing is recorded`)
    return 'always_off'
  }

  function readBoolean (name: string): boolean {
    const text = read(name)?.toLowerCase() ?? 'false'
    if (!YES.has(text) && !NO.has(text)) problems.push(`${name} must be true or false; until then it is false`)
    return YES.has(text)
  }
}
