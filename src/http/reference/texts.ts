import texts from './texts.json' with { type: 'json' }

/** What the fields of something mean, by their names. */
export type Meanings = Readonly<Record<string, string>>

/** What docs/reference/http.md says of a route. */
export interface OperationText {
  /** What generated clients call it. */
  readonly id: string
  readonly tag: string
  readonly caller: string
  readonly summary: string
  readonly description: string
  /** By the part of the request and the name: `query limit`. */
  readonly fields: Meanings
  /** Bodies of the request and the answer, by the names of their schemas. */
  readonly examples: Readonly<Record<string, unknown>>
}

interface MessageText { readonly summary: string, readonly fields: Meanings }

interface Texts {
  readonly tags: ReadonlyArray<{ readonly name: string, readonly description?: string }>
  /** By method and address: `GET /api/runs/:id`. */
  readonly operations: Readonly<Record<string, OperationText>>
  readonly shapes: Readonly<Record<string, Meanings>>
  /** By the type of the event or message. */
  readonly events: Readonly<Record<string, MessageText>>
  readonly messages: Readonly<Record<string, MessageText>>
}

/** The words of docs/reference, which people read: `npm run docs` takes them from there. */
export const TEXTS: Texts = texts
