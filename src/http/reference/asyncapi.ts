import type { TSchema } from '@sinclair/typebox'
import { ServerMessages, SOCKET_EVENTS, SocketMessages } from '../../contract/socket-messages.js'
import { SOCKET_PATH } from '../websocket/protocol.js'
import { describe, pascalCase, shapeComponents } from './components.js'
import { SECURITY_SCHEMES } from './security.js'
import { type Meanings, TEXTS } from './texts.js'

const CHANNEL = '#/channels/socket'
/** Messages that answer one of the client's; what else a run tells follows by itself. */
const ENDS = ['agent_execution_complete', 'agent_execution_error', 'agent_cancelled']
const REPLIES: Readonly<Record<string, readonly string[]>> = {
  auth: ['connected'],
  ping: ['pong'],
  agent_execute: ['agent_execution_started', ...ENDS],
  cancel: ENDS
}

const { fields: FIELDS_OF_EVENTS } = TEXTS.messages['Events of a run']!
const { fields: FIELDS_OF_REFUSALS } = TEXTS.messages['agent_execution_error before there is a run']!
/** The types of events, by the messages that carry them. */
const EVENTS: Readonly<Record<string, string>> = Object.fromEntries(Object.entries(SOCKET_EVENTS).map(([event, message]) => [message, event]))

/** The WebSocket as AsyncAPI 3, from the service's side: it receives what clients send. */
export function describeSocket (version: string): object {
  const messages = mapValues({ ...SocketMessages, ...ServerMessages }, (schema: TSchema, name) => describeMessage(name, schema))
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'jeesi-railway-backend',
      version,
      description: 'The WebSocket of the service: one connection carries many runs, both ways. GET /docs/json describes the routes of HTTP.'
    },
    defaultContentType: 'application/json',
    channels: { socket: channelOf(Object.keys(messages)) },
    operations: Object.fromEntries([
      ...Object.keys(SocketMessages).map(name => [operationName('receive', name), operationOf('receive', name)]),
      ...Object.keys(ServerMessages).map(name => [operationName('send', name), operationOf('send', name)])
    ]),
    components: { messages, schemas: schemasIn(messages) }
  }
}

function channelOf (names: string[]): object {
  const text = { type: 'string' }
  const { fields } = TEXTS.operations[`GET ${SOCKET_PATH}`]!
  return {
    address: SOCKET_PATH,
    description: 'Messages are JSON in text frames. Who connects sends a token in the query, as a subprotocol (`jeesi`, `bearer.<token>`), or in a first message `auth`.',
    messages: Object.fromEntries(names.map(name => [name, { $ref: `#/components/messages/${name}` }])),
    bindings: {
      ws: {
        method: 'GET',
        query: {
          type: 'object',
          properties: {
            token: { ...text, description: SECURITY_SCHEMES.token.description },
            ticket: { ...text, description: SECURITY_SCHEMES.ticket.description },
            events: { ...text, maxLength: 200, description: fields['query events'] }
          }
        },
        bindingVersion: '0.1.0'
      }
    }
  }
}

function operationOf (action: 'receive' | 'send', name: string): object {
  const replies = action === 'receive' ? REPLIES[name] : undefined
  return {
    action,
    channel: { $ref: CHANNEL },
    messages: [messageRef(name)],
    ...(replies && { reply: { channel: { $ref: CHANNEL }, messages: replies.map(messageRef) } })
  }
}

function describeMessage (name: string, schema: TSchema): object {
  const { summary } = TEXTS.messages[name] ?? TEXTS.events[EVENTS[name]!]!
  const fields = meaningsOf(name)
  const { anyOf } = schema as { anyOf?: TSchema[] }
  const payload = anyOf ? { anyOf: anyOf.map(one => describe(one, fields)) } : describe(schema, fields)
  return { name, ...(summary && { summary }), payload }
}

function meaningsOf (name: string): Meanings {
  const event = EVENTS[name]
  const own = event === undefined ? TEXTS.messages[name]!.fields : { ...TEXTS.events[event]!.fields, ...FIELDS_OF_EVENTS }
  return name === SOCKET_EVENTS.error ? { ...FIELDS_OF_REFUSALS, ...own } : own
}

/** The shapes that messages refer to, and those that these refer to. */
function schemasIn (messages: object): Record<string, object> {
  const shapes = shapeComponents()
  const found = new Set<string>()
  const look = (value: object): void => {
    for (const [, name] of JSON.stringify(value).matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
      if (found.has(name!)) continue
      found.add(name!)
      look(shapes[name!]!)
    }
  }
  look(messages)
  return Object.fromEntries([...found].sort().map(name => [name, shapes[name]!]))
}

function messageRef (name: string): { $ref: string } {
  return { $ref: `${CHANNEL}/messages/${name}` }
}

/** `agent_execute` is received by `receiveAgentExecute`. */
function operationName (action: string, name: string): string {
  return action + pascalCase(name)
}

function mapValues<T, R> (object: Readonly<Record<string, T>>, map: (value: T, name: string) => R): Record<string, R> {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, map(value, name)]))
}
