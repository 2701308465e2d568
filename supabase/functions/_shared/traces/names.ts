// Names in spans are texts of somebody: only what looks like a name is passed on, and else nothing.

const MODEL = /^[\w.:/@+-]{1,128}$/
const TOOL = /^[\w-]{1,64}$/
const REASON = /^[a-z_]{1,32}$/

/** The name of a model, as its author or the gateway says it; undefined if it is rather a text. */
export function toModelName (name: string | null | undefined): string | undefined {
  return name && MODEL.test(name) ? name : undefined
}

/** The name of a tool that there is. */
export function toToolName (name: string): string | undefined {
  return TOOL.test(name) ? name : undefined
}

/** Why a model has stopped, by the gateway's word. */
export function toFinishReasons (reason: string | null | undefined): readonly string[] | undefined {
  return reason ? [REASON.test(reason) ? reason : 'other'] : undefined
}
