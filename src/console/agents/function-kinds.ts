/** A field of a function's configuration. */
export interface ConfigField { name: string, label: string, rows?: number, isCode?: boolean, options?: ReadonlyArray<readonly [string, string]>, hint?: string, isRequired?: boolean }

/** A kind of function, in words, with the fields of its configuration. */
export interface Kind { type: string, title: string, hint: string, fields: readonly ConfigField[], isForAdmins?: boolean, /** Whether it can be a tool, which the model calls. */ canBeTool: boolean, hasKeywords: boolean }

const HEADERS: ConfigField = { name: 'headers_json', label: 'Headers', rows: 2, isCode: true, hint: 'A JSON object, such as {"authorization": "Bearer key"}.' }

export const KINDS: readonly Kind[] = [
  {
    type: 'api_call',
    title: 'HTTP request',
    hint: 'Asks an address. The answer goes to the model.',
    canBeTool: true,
    hasKeywords: true,
    fields: [
      { name: 'url', label: 'Address', isCode: true, isRequired: true, hint: '{{user_input}} is the message, encoded.' },
      { name: 'method', label: 'Method', options: [['GET', 'GET'], ['POST', 'POST'], ['PUT', 'PUT'], ['PATCH', 'PATCH'], ['DELETE', 'DELETE']] },
      HEADERS,
      { name: 'body_template', label: 'Body', rows: 4, isCode: true, hint: 'JSON with {{user_input}}, or with the names of a tool\'s arguments.' }
    ]
  },
  {
    type: 'conditional',
    title: 'Fixed answer',
    hint: 'Answers by itself; no model is asked.',
    canBeTool: false,
    hasKeywords: true,
    fields: [
      { name: 'condition_keyword', label: 'Condition', hint: 'Words, separated by commas, that are looked for once it runs.', isRequired: true },
      { name: 'condition_response', label: 'Answer if one occurs', rows: 3 },
      { name: 'default_response', label: 'Answer otherwise', rows: 3, hint: 'Blank: the model answers.' }
    ]
  },
  {
    type: 'data_transform',
    title: 'Transformation',
    hint: 'Prepares the message for the model.',
    canBeTool: true,
    hasKeywords: true,
    fields: [
      { name: 'transform_type', label: 'Kind', options: [['format', 'Fill a template in'], ['extract', 'Extract'], ['summarize', 'Summarize']] },
      { name: 'template', label: 'Template', rows: 4, isCode: true, hint: 'With {{data}}; of an extraction: emails, urls, numbers, dates.' }
    ]
  },
  {
    type: 'webhook',
    title: 'Webhook',
    hint: 'Sends the answer on when it is there.',
    canBeTool: false,
    hasKeywords: true,
    fields: [
      { name: 'webhook_url', label: 'Address', isCode: true, isRequired: true },
      { name: 'trigger_event', label: 'When', options: [['on_response', 'After each answer'], ['on_keyword', 'If a word occurs'], ['on_message', 'After each message']] },
      { name: 'payload_template', label: 'Payload', rows: 4, isCode: true, hint: 'JSON with {{content}}, {{response}} and {{agent_id}}; blank: all of them.' },
      { name: 'secret', label: 'Secret', isCode: true, hint: 'whsec_…, signs it; blank: WEBHOOK_SECRET, if there is one.' }
    ]
  },
  {
    type: 'mcp',
    title: 'MCP server',
    hint: 'Gives the model the tools of a server.',
    canBeTool: false,
    hasKeywords: false,
    fields: [{ name: 'url', label: 'Address', isCode: true, isRequired: true }, HEADERS]
  },
  {
    type: 'python',
    title: 'Code in Python',
    hint: 'A function that the model calls.',
    isForAdmins: true,
    canBeTool: true,
    hasKeywords: false,
    fields: [{ name: 'entrypoint', label: 'Entrypoint', isCode: true, isRequired: true, hint: 'package.module:function' }]
  }
]

export function kindOf (type: string): Kind {
  return KINDS.find(kind => kind.type === type) ?? KINDS[0]!
}
