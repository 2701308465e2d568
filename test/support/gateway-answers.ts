import { frame } from './doubles/gateway.js'

/** How a gateway answers, and what comes of it. */
export interface GatewayAnswer {
  /** The body of the response. */
  stream: string
  /** Whether the connection breaks after it; otherwise the response ends. */
  breaks?: true
  text?: string
  reasoning?: string
  finishReason?: string | null
  /** prompt, completion, total. */
  usage?: [number?, number?, number?]
  /** Name and arguments of the calls. */
  calls?: Array<[string, string]>
  /** The code of the failure, and what its reason says. */
  error?: string
  reason?: string
}

const DONE = 'data: [DONE]\n\n'
const say = (fields: object, more: object = {}, frameFields: object = {}) => frame({ choices: [{ index: 0, delta: fields, finish_reason: null, ...more }], ...frameFields })
const word = (content: string, more: object = {}) => say({ content }, more)
const HELLO = word('Hel') + word('lo')
const end = (finish_reason: string, more: object = {}) => say({}, { finish_reason, ...more })
const STOP = end('stop')
const usage = (prompt_tokens: number, completion_tokens: number, total_tokens: number) => ({ prompt_tokens, completion_tokens, total_tokens })
const call = (...pieces: object[]) => pieces.map(piece => say({ tool_calls: [piece] })).join('')

const REASONS = {
  stop: ['stop', 'STOP', 'end_turn', 'stop_sequence', 'eos', 'eos_token', 'COMPLETE', 'FINISH_REASON_STOP'],
  length: ['length', 'MAX_TOKENS', 'max_tokens', 'max-tokens', 'maxTokens', 'model_length', 'model_context_window_exceeded'],
  tool_calls: ['tool_calls', 'tool_use', 'tool-calls'],
  function_call: ['function_call'],
  content_filter: ['content_filter', 'SAFETY', 'RECITATION', 'sensitive', 'refusal', 'content_filter: PROHIBITED_CONTENT']
}

/** The reasons for which an answer ends, as gateways spell them, with what they mean. */
export const SPELLINGS = Object.entries(REASONS).flatMap(([reason, spellings]) => spellings.map(spelling => [spelling, reason] as const))

/** The ways of gateways, by name. */
export const ANSWERS: Record<string, GatewayAnswer> = {
  // What an end is
  'an empty finish reason in every delta is no end': { stream: word('Hel', { finish_reason: '' }) + word('lo', { finish_reason: '' }) + STOP, text: 'Hello', finishReason: 'stop' },
  'an answer that is cut off after empty finish reasons is none': { stream: word('Hel', { finish_reason: '' }) + word('lo', { finish_reason: '' }), breaks: true, text: 'Hello', error: 'gateway_unavailable' },
  'half a list of tool calls is none, if the connection breaks after empty finish reasons': {
    stream: say({ tool_calls: [{ index: 0, id: 'a', function: { name: 'look', arguments: '{}' } }] }, { finish_reason: '' }), breaks: true, error: 'gateway_unavailable'
  },
  'the word null as finish reason is no end': { stream: word('Hello', { finish_reason: 'null' }), error: 'gateway_unavailable', text: 'Hello' },
  'a finish reason that nobody knows is an end, however the connection ends': { stream: HELLO + end('bored'), breaks: true, text: 'Hello', finishReason: 'bored' },
  'a finish reason that nobody knows is no end if text follows it': { stream: word('Hel', { finish_reason: 'going_on' }) + word('lo'), error: 'gateway_unavailable', text: 'Hello' },
  'a finish reason that nobody knows is no end if it comes with every delta': {
    stream: word('Hel', { finish_reason: 'going_on' }) + word('lo', { finish_reason: 'going_on' }), breaks: true, text: 'Hello', error: 'gateway_unavailable'
  },
  'a finish reason that nobody knows is none if it comes with every delta': {
    stream: word('Hel', { finish_reason: 'going_on' }) + word('lo', { finish_reason: 'going_on' }) + DONE, text: 'Hello', finishReason: null
  },
  'a finish reason that nobody knows is replaced by one that is known': { stream: word('Hel', { finish_reason: 'going_on' }) + word('lo') + STOP, text: 'Hello', finishReason: 'stop' },
  '[DONE] ends an answer with blanks': { stream: HELLO + 'data:  [DONE] \n\n', text: 'Hello', finishReason: null },
  '[DONE] ends an answer in small letters': { stream: HELLO + 'data:[done]\n\n', text: 'Hello', finishReason: null },
  '[DONE] ends an answer though the connection breaks': { stream: HELLO + 'data: [ Done ]\n\n', breaks: true, text: 'Hello', finishReason: null },

  // Errors in a 200
  'an error as finish reason is a failure': { stream: word('Hel') + end('error'), text: 'Hel', error: 'gateway_unavailable', reason: 'finish_reason error' },
  'an error beside a finish reason is a failure with its status': {
    stream: word('Hel') + say({}, { finish_reason: 'error' }, { error: { code: 429, message: 'Slow down.' } }), text: 'Hel', error: 'gateway_rate_limited', reason: 'Slow down.'
  },
  'an error of the choice is a failure': { stream: say({}, { error: { code: 402, message: 'Add credits.' } }) + DONE, error: 'gateway_payment_required', reason: 'Add credits.' },
  'an object error is a failure': {
    stream: `data: ${JSON.stringify({ object: 'error', message: 'Too long.', type: 'BadRequestError', param: null, code: 400 })}\n\n${DONE}`, error: 'gateway_rejected', reason: 'Too long.'
  },
  'an error of the type error is a failure': { stream: `data: ${JSON.stringify({ type: 'error', message: 'Overloaded' })}\n\n`, error: 'gateway_unavailable', reason: 'Overloaded' },
  'an error that is a text is a failure': { stream: `data: ${JSON.stringify({ error: 'Out of memory' })}\n\n${DONE}`, error: 'gateway_unavailable', reason: 'Out of memory' },
  'an error in a list is a failure': { stream: `data: ${JSON.stringify([{ error: { code: 503, message: 'Overloaded' } }])}\n\n${DONE}`, error: 'gateway_unavailable', reason: 'Overloaded' },
  'a model that had no resources left is a failure': { stream: HELLO + end('insufficient_system_resource') + DONE, text: 'Hello', error: 'gateway_unavailable' },
  'a request that the gateway has aborted is a failure': { stream: HELLO + end('abort') + DONE, text: 'Hello', error: 'gateway_unavailable' },
  'a malformed function call is a failure': { stream: end('function_call_filter: MALFORMED_FUNCTION_CALL') + DONE, error: 'gateway_unavailable' },

  // After the end nothing can undo it
  'half a frame after the end leaves the answer': { stream: `${HELLO}${STOP}data: {"choi`, text: 'Hello', finishReason: 'stop' },
  'half a frame and a broken connection after the end leave the answer': { stream: `${HELLO}${STOP}data: {"choices": [{"delta"\n\n`, breaks: true, text: 'Hello', finishReason: 'stop' },
  'a late error leaves the answer': { stream: HELLO + STOP + frame({ error: { message: 'late', code: 500 } }), text: 'Hello', finishReason: 'stop' },
  'a late error as finish reason leaves the answer': { stream: HELLO + STOP + end('error'), text: 'Hello', finishReason: 'stop' },
  'a broken connection leaves the answer': { stream: HELLO + STOP, breaks: true, text: 'Hello', finishReason: 'stop' },
  'what is no frame is passed over': {
    stream: 'data: null\n\n' + word('Hel') + 'data: : comment\n\n' + 'data: 7\n\n' + 'data: "text"\n\n' + 'data: ping\n\n' + 'data: \n\n' + frame({ created: 1 }) + word('lo') + STOP + DONE,
    text: 'Hello',
    finishReason: 'stop'
  },
  'half a frame before the end is a failure': { stream: `${HELLO}data: {"choi`, text: 'Hello', error: 'gateway_unavailable' },

  // Text elsewhere
  'a refusal is text, and ends as filtered': { stream: say({ refusal: 'I cannot ' }) + say({ refusal: 'do that.' }) + STOP, text: 'I cannot do that.', finishReason: 'content_filter' },
  'content in parts is text, and its thoughts are reasoning': {
    stream: say({ content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'Hm' }] }] }) + say({ content: [{ type: 'thinking', thinking: '.' }, { type: 'text', text: 'Hel' }] }) + word('lo') + STOP,
    text: 'Hello',
    reasoning: 'Hm.',
    finishReason: 'stop'
  },
  'a message in a stream is the answer': {
    stream: frame({ object: 'chat.completion', choices: [{ index: 0, message: { role: 'assistant', content: 'Hello' }, finish_reason: 'stop' }], usage: usage(1, 2, 3) }),
    text: 'Hello',
    finishReason: 'stop',
    usage: [1, 2, 3]
  },
  'messages in place of deltas are pieces': {
    stream: frame({ choices: [{ index: 0, message: { content: 'Hel' } }] }) + frame({ choices: [{ index: 0, message: { content: 'lo' } }] }) + STOP, text: 'Hello', finishReason: 'stop'
  },
  'a message that repeats the deltas is not said twice': {
    stream: HELLO + frame({ choices: [{ index: 0, delta: {}, message: { content: 'Hello' }, finish_reason: 'stop' }] }), text: 'Hello', finishReason: 'stop'
  },
  'a function call of the older form is a tool call': {
    stream: say({ function_call: { name: 'look', arguments: '{"q"' } }) + say({ function_call: { arguments: ':1}' } }) + end('function_call'), calls: [['look', '{"q":1}']], finishReason: 'function_call'
  },
  'an image of the model is a plain error': {
    stream: say({ content: '', images: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } }] }) + STOP, error: 'gateway_image_answer'
  },
  'an image among the parts is a plain error': { stream: say({ content: [{ type: 'text', text: 'Look:' }, { type: 'image_url', image_url: { url: 'data:,' } }] }) + STOP, error: 'gateway_image_answer' },

  // Tool calls in pieces
  'a name in every piece is one name': {
    stream: call({ index: 0, id: 'r1', function: { name: 'look', arguments: '{"q' } }, { index: 0, id: 'r2', function: { name: 'look', arguments: '":1}' } }, { index: 0, id: 'r3', function: { name: 'look', arguments: '' } }) + end('tool_calls'),
    calls: [['look', '{"q":1}']],
    finishReason: 'tool_calls'
  },
  'calls without an index are told apart by their names': {
    stream: call({ id: '', type: 'function', function: { name: 'look', arguments: '{"q":1}' } }, { id: '', type: 'function', function: { name: 'look', arguments: '{"q":2}' } }) + STOP,
    calls: [['look', '{"q":1}'], ['look', '{"q":2}']],
    finishReason: 'stop'
  },

  // Usage
  'zeros at the end replace no usage': { stream: HELLO + say({}, { finish_reason: 'stop' }, { usage: usage(10, 5, 15) }) + frame({ choices: [], usage: usage(0, 0, 0) }) + DONE, text: 'Hello', finishReason: 'stop', usage: [10, 5, 15] },
  'of each field of usage the largest counts': { stream: say({ content: 'Hello' }, {}, { usage: usage(10, 1, 11) }) + STOP + frame({ choices: [], usage: usage(0, 5, 15) }) + DONE, text: 'Hello', finishReason: 'stop', usage: [10, 5, 15] },
  'usage within the choice counts': { stream: HELLO + end('stop', { usage: usage(10, 5, 15) }) + DONE, text: 'Hello', finishReason: 'stop', usage: [10, 5, 15] },
  'usage within x_groq counts': { stream: HELLO + say({}, { finish_reason: 'stop' }, { x_groq: { usage: usage(10, 5, 15) } }) + DONE, text: 'Hello', finishReason: 'stop', usage: [10, 5, 15] }
}

for (const [spelling, reason] of SPELLINGS) {
  ANSWERS[`the finish reason ${spelling} is ${reason}, though the connection breaks after it`] = { stream: HELLO + end(spelling), breaks: true, text: 'Hello', finishReason: reason }
}
