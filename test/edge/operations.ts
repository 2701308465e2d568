import { compileStrict, invalid } from '../../supabase/functions/_shared/http/validation.ts'
import { encodeReconnect, encodeSse } from '../../supabase/functions/_shared/http/sse.ts'
import { buildMessages } from '../../supabase/functions/_shared/prompt.ts'
import { ExecuteBody } from '../../supabase/functions/_shared/schemas.ts'
import { toStorableValue } from '../../supabase/functions/_shared/text.ts'
import { eventsOf, toTrace } from '../../supabase/functions/_shared/trace.ts'
import { measureUsage } from '../../supabase/functions/_shared/usage.ts'

// The files of the function are not loaded by name: TypeScript would check them without Deno's types.
const { hashRequest } = await import(new URL('../../supabase/functions/agent-runtime/runs/begin.ts', import.meta.url).href)
const validate = compileStrict(ExecuteBody)

/** What the service and the edge function share, as operations from JSON to JSON that Node.js and Deno can both run. */
const operations: Record<string, (...args: any[]) => unknown> = {
  buildMessages,
  encodeReconnect,
  encodeSse,
  hashRequest,
  measureUsage,
  toStorable: toStorableValue,
  /** The problems of a body, or the body with its defaults. */
  validate: body => validate(body) ? body : { ...invalid(validate.errors!, 'body'), message: invalid(validate.errors!, 'body').message },
  /** The events of a finished run, restored from their own trace. */
  replay: (run, events) => eventsOf({ run, trace: toTrace(events) })
}

/** @param calls each an operation's name and its arguments. */
export async function runOperations (calls: Array<[name: string, ...args: unknown[]]>): Promise<unknown[]> {
  return Promise.all(calls.map(([name, ...args]) => operations[name]!(...args)))
}
