import type { AgentFunction } from '#shared/agent.ts'
import { type FunctionType, isFunctionType } from '#shared/functions/function-types.ts'
import type { FunctionKind } from './function-kind.js'
import { apiCall } from './functions/api-call.js'
import { conditional } from './functions/conditional.js'
import { dataTransform } from './functions/data-transform.js'
import { mcp } from './functions/mcp.js'
import { python } from './functions/python.js'
import { webhook } from './functions/webhook.js'

/** Every kind of function, by its type. Kinds that open tools open them in this order. */
export const KINDS: Readonly<Record<FunctionType, FunctionKind>> = {
  api_call: apiCall,
  conditional,
  data_transform: dataTransform,
  webhook,
  python,
  mcp
}

/** The kind of a function; undefined if the service does not know its type. */
export function kindOf ({ type }: Pick<AgentFunction, 'type'>): FunctionKind | undefined {
  return isFunctionType(type) ? KINDS[type] : undefined
}

/** Whether a message triggers functions of this type only after the answer. */
export function actsAfterAnswer (fn: Pick<AgentFunction, 'type'>): boolean {
  return kindOf(fn)?.trigger?.stage === 'after_answer'
}
