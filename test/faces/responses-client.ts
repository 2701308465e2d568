import type { Test } from 'tap'
import { DEMO_AGENT } from '../support/helper.js'
import { type PACKAGES, startProgram, type Use } from './openai-orders.js'

export { type Outcome, PACKAGES, type Use, type UseOptions } from './openai-orders.js'

export const ASKED = { model: DEMO_AGENT, input: 'Hi' }

/** A program that speaks Responses: see `startProgram`. */
export function startClient (t: Pick<Test, 'teardown'>, directory: string, name: typeof PACKAGES[number], url: string): Use {
  return startProgram(t, 'responses-client.mjs', directory, name, url, ASKED)
}

/** The text that someone has who appends what is told of a response's items, and forgets those that end before they are whole. */
export function textOf (events: any[]): string {
  const texts = new Map<string, string>()
  for (const { type, item_id: id, item, delta } of events) {
    if (type === 'response.output_text.delta') texts.set(id, (texts.get(id) ?? '') + delta)
    if (type === 'response.output_item.done' && item.status === 'incomplete') texts.delete(item.id)
  }
  return [...texts.values()].join('')
}

export const numbersOf = (events: any[]): number[] => events.map(({ sequence_number: number }) => number)
export const typesOf = (events: any[]): string[] => events.map(({ type }) => type)
