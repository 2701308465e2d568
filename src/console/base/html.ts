import htm from 'htm'
import { type ComponentChildren, h, type VNode } from 'preact'

type Template = (strings: TemplateStringsArray, ...values: unknown[]) => VNode

/** Markup as a template. What stands in it is set as text or as an attribute: no value becomes markup. */
// The package's types describe its CommonJS edition.
export const html = (htm as unknown as { bind (create: typeof h): Template }).bind(h)

export type Children = ComponentChildren
export type { VNode }
