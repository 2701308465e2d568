import type { ToolCall } from '#shared/messages.ts'

/** The namespaces under which providers describe tools to their models. */
const NAMESPACE = /^(functions?|default_api|tools?)[_.:/]+/

/**
 * Returns the calls under the names of the tools that they mean. Models write names as their provider has shown them, such as
 * `functions.look` or `default_api:look`, or with a mark of their own format behind them, such as `look:0` or
 * `look<|channel|>json`. A name that fits no tool, or several, stays as it is.
 */
export function withKnownNames (calls: readonly ToolCall[], tools: ReadonlyArray<{ readonly name: string }>): ToolCall[] {
  return calls.map(call => {
    const name = knownName(call.function.name, tools)
    return name === undefined ? call : { ...call, function: { ...call.function, name } }
  })
}

/** The one tool's name that is meant; undefined if the name is one already, or fits not exactly one. */
function knownName (name: string, tools: ReadonlyArray<{ readonly name: string }>): string | undefined {
  if (tools.some(tool => tool.name === name)) return undefined
  const meant = bare(name)
  const fitting = meant === '' ? [] : tools.filter(tool => bare(tool.name) === meant)
  return fitting.length === 1 ? fitting[0]!.name : undefined
}

function bare (name: string): string {
  const [own] = name.trim().toLowerCase().split('<', 1)
  return own!.replace(/:\d+$/, '').replace(NAMESPACE, '').replace(/^.*[.:/]/s, '')
}
