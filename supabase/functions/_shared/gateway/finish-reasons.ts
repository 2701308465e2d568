/** The names under which models and gateways give the five reasons of the protocol, in small letters and without anything between them. */
const SPELLINGS = {
  stop: ['stop', 'stopsequence', 'stoptoken', 'endturn', 'endofturn', 'eos', 'eostoken', 'end', 'complete', 'completed', 'finish', 'finished', 'done'],
  length: ['length', 'maxtokens', 'maxoutputtokens', 'maxcompletiontokens', 'maxlength', 'modellength', 'modelcontextwindowexceeded', 'contextlengthexceeded'],
  tool_calls: ['toolcalls', 'toolcall', 'tooluse'],
  function_call: ['functioncall'],
  content_filter: ['contentfilter', 'contentfiltered', 'safety', 'imagesafety', 'recitation', 'blocklist', 'prohibitedcontent', 'spii', 'refusal', 'sensitive', 'guardrailintervened', 'errortoxic']
}
const KNOWN = new Map(Object.entries(SPELLINGS).flatMap(([reason, spellings]) => spellings.map(spelling => [spelling, reason])))

/** The protocol's own spellings, by far the most frequent. */
const PLAIN: ReadonlyMap<unknown, Ending> = new Map(Object.keys(SPELLINGS).map(reason => [reason, { reason, kind: 'known' }]))

/** Reasons of which the answer is no whole one, and another try may bring it. */
const FAILURES = new Set([
  'error', 'errors', 'servererror', 'internalerror', 'networkerror', 'insufficientsystemresource', 'abort', 'aborted', 'cancelled', 'usercancel', 'malformedfunctioncall',
  'unexpectedtoolcall', 'functioncallfilter'
])

/** Words for none, which some gateways write into every frame. */
const NONE = new Set(['', 'null', 'none', 'unspecified'])

/** Why a gateway says that an answer has ended. */
export interface Ending {
  /** One of the protocol's five, or as the gateway calls it. */
  readonly reason: string
  /**
   * `unknown`: nobody has told what it means. It is an end all the same unless more output follows it: gateways name new reasons,
   * and give them with the last delta, as the protocol says; to take a whole answer for a broken one would cost it a second time.
   */
  readonly kind: 'known' | 'unknown' | 'failure'
}

/**
 * Reads a `finish_reason`.
 * @returns undefined if it is none: a gateway may write null, nothing, or `""` with each delta.
 */
export function readFinishReason (value: unknown): Ending | undefined {
  const plain = PLAIN.get(value)
  if (plain || typeof value !== 'string' || value === '') return plain
  // As in `content_filter: PROHIBITED_CONTENT`.
  const spelling = value.slice(0, 100).split(':', 1)[0]!.toLowerCase().replace(/[^a-z]/g, '').replace(/^finishreason/, '')
  if (NONE.has(spelling)) return undefined
  const known = KNOWN.get(spelling)
  if (known !== undefined) return { reason: known, kind: 'known' }
  return { reason: value, kind: FAILURES.has(spelling) ? 'failure' : 'unknown' }
}
