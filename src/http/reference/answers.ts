import { STATUS_CODES } from 'node:http'

type Headers = Record<string, { description: string, schema: object }>

/** An operation of a document, as far as its answers are concerned, by their statuses. */
export interface DescribedOperation {
  responses: Record<string, { description: string, content?: object, headers?: Headers }>
}

const RETRY_AFTER: Headers = { 'Retry-After': { description: 'Seconds to wait, where waiting helps.', schema: { type: 'integer' } } }
const RUN_ID: Headers = { 'X-Run-Id': { description: 'The id of the run.', schema: { type: 'string', format: 'uuid' } } }
const LOCATION: Headers = { Location: { description: 'Where the run is looked at.', schema: { type: 'string' } } }

const REFUSALS: Readonly<Record<string, string>> = {
  '4XX': 'The request is refused: `code` says why.',
  '5XX': 'The service cannot answer: `code` says why.'
}

/** Says of an operation's answers what the schemas of their bodies do not: in words what each is, and its headers. */
export function describeAnswers ({ responses }: DescribedOperation): void {
  const answers = Object.entries(responses)
  const streams = answers.some(([, { content }]) => content && 'text/event-stream' in content)
  for (const [status, answer] of answers) {
    answer.description = REFUSALS[status] ?? STATUS_CODES[status] ?? status
    const headers = headersOf(status, streams)
    if (headers) answer.headers = headers
  }
}

function headersOf (status: string, streams: boolean): Headers | undefined {
  if (status in REFUSALS) return RETRY_AFTER
  if (!streams || !status.startsWith('20')) return undefined
  return status === '202' ? { ...RUN_ID, ...LOCATION } : RUN_ID
}
