import { type Document, readDocument, type Section } from '../../test/docs/markdown.js'

/** What the fields of something mean, by their names. */
type Meanings = Record<string, string>

const ROUTE = /^(GET|POST|PUT|PATCH|DELETE) \/\S*$/

/** src/http/reference/texts.json: what the reference says, for the documents that programs read. */
export function renderTexts (): string {
  const http = readDocument('docs/reference/http.md')
  const events = readDocument('docs/reference/events.md')
  const socket = readDocument('docs/reference/websocket.md')
  const operations = operationsOf(http)
  const texts = {
    tags: tagsOf(http),
    operations: Object.fromEntries(operations.map(({ section, tag }) => [section.title, operationOf(http, section, tag)])),
    shapes: { ...bodiesOf(http, operations.map(({ section }) => section)), ...shapesOf(http) },
    events: fieldSectionsOf(events),
    messages: fieldSectionsOf(socket)
  }
  return `${JSON.stringify(texts, null, 2)}\n`
}

/** The sections of routes, each with the heading that it stands under. */
function operationsOf ({ sections }: Document): Array<{ section: Section, tag: string }> {
  return sections.flatMap((section, index) => {
    const group = sections.slice(0, index).findLast(({ level }) => level === section.level - 1)
    return ROUTE.test(section.title) ? [{ section, tag: group!.title }] : []
  })
}

function tagsOf (document: Document): Array<{ name: string, description?: string }> {
  const used = new Set(operationsOf(document).map(({ tag }) => tag))
  return document.sections.filter(({ title }) => used.has(title)).map(section => ({ name: section.title, description: proseOf(section) || undefined }))
}

function operationOf (document: Document, section: Section, tag: string) {
  const { prose } = section
  const description = proseOf(section)
  return {
    id: /^Operation: `(\w+)`\.$/m.exec(prose)?.[1],
    tag,
    caller: /^Caller: (\w+)\.$/m.exec(prose)?.[1],
    summary: firstSentence(description),
    description,
    fields: Object.fromEntries(rowsOf(section, 'in').map(([part, name, , meaning]) => [`${part} ${plainName(name!)}`, meaning!])),
    examples: examplesIn(document, section)
  }
}

/** The bodies that a section shows, by the names of their schemas. */
function examplesIn (document: Document, section: Section): Record<string, unknown> {
  const end = document.sections.find(({ line }) => line > section.line)?.line ?? Infinity
  const fences = document.fences.filter(({ line, language, words }) => line > section.line && line < end && language === 'json' && words.length === 1)
  return Object.fromEntries(fences.map(({ words, text }) => [words[0]!, JSON.parse(text)]))
}

/** The fields of requests, by the name of the schema that the example of the request has. */
function bodiesOf (document: Document, sections: Section[]): Record<string, Meanings> {
  return Object.fromEntries(sections.flatMap(section => {
    const name = Object.keys(examplesIn(document, section)).find(name => name.endsWith('Body'))
    const fields = rowsOf(section, 'in').filter(([part]) => part === 'body').map(([, name, , meaning]) => [plainName(name!), meaning!])
    return name ? [[name, Object.fromEntries(fields)]] : []
  }))
}

function shapesOf ({ sections }: Document): Record<string, Meanings> {
  const first = sections.findIndex(({ title }) => title === 'Shapes') + 1
  const shapes: Record<string, Meanings> = {}
  for (const section of sections.slice(first)) {
    const parent = /^(?:Every field|All fields) of \[(\w+)\]/m.exec(section.prose)?.[1]
    shapes[section.title] = { ...(parent ? shapes[parent] : {}), ...meaningsOf(section) }
  }
  return shapes
}

/** The sections that have a table of fields: what each is, and what its fields mean. */
function fieldSectionsOf ({ sections }: Document): Record<string, { summary: string, fields: Meanings }> {
  const found = sections.filter(section => rowsOf(section, 'field').length > 0)
  return Object.fromEntries(found.map(section => [section.title, { summary: proseOf(section), fields: meaningsOf(section) }]))
}

function meaningsOf (section: Section): Meanings {
  return Object.fromEntries(rowsOf(section, 'field').map(([name, , meaning]) => [plainName(name!), meaning!]))
}

function rowsOf ({ tables }: Section, column: string): string[][] {
  return tables.filter(({ columns }) => columns[0] === column).flatMap(({ rows }) => rows)
}

/** What a section says beside its tables and its lines for tests, without the addresses of its links. */
function proseOf ({ prose }: Section): string {
  return prose
    .replace(/^(?:\||(?:Caller|Operation|Answers): ).*$/gm, '')
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .split(/\n{2,}/)
    .map(paragraph => paragraph.trim().replaceAll('\n', ' '))
    .filter(Boolean)
    .join('\n\n')
}

function firstSentence (text: string): string {
  return /^.*?(?=[.:](?:\s|$)|$)/s.exec(text)![0].replaceAll('`', '')
}

function plainName (name: string): string {
  return name.replace(/\?$/, '')
}
