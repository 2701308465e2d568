import { readdirSync, readFileSync } from 'node:fs'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = new URL('../../', import.meta.url)

/** A fenced block of code: its language, the words after it, its text and the line that it begins in. */
export interface Fence { file: string, line: number, language: string, words: string[], text: string }

/** A heading with what stands under it, as far as the next heading of any level. */
export interface Section { file: string, line: number, level: number, title: string, prose: string, tables: Table[] }

/** A table: the names of its columns, and its cells without the marks of code and links. */
export interface Table { columns: string[], rows: string[][] }

export interface Document { file: string, text: string, sections: Section[], fences: Fence[] }

/** Every document that people read: the README, CONTRIBUTING, the bench's README and all of `docs/`. */
export function readDocuments (): Document[] {
  const inDocs = readdirSync(new URL('docs/', ROOT), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.md'))
    .map(entry => relative(fileURLToPath(ROOT), `${entry.parentPath}/${entry.name}`))
  return ['README.md', 'CONTRIBUTING.md', 'bench/README.md', ...inDocs.sort()].map(readDocument)
}

/** @param file the path of a document, from the project's root. */
export function readDocument (file: string): Document {
  const text = readFileSync(new URL(file, ROOT), 'utf8')
  const sections: Section[] = []
  const fences: Fence[] = []
  let fence: Fence | undefined
  for (const [index, line] of text.split('\n').entries()) {
    const [, ticks, info = ''] = /^ *(`{3,})(.*)$/.exec(line) ?? []
    const [, marks, title = ''] = /^(#{1,6}) (.*)$/.exec(line) ?? []
    if (fence && ticks) fence = undefined
    else if (fence) fence.text += `${line}\n`
    else if (ticks) {
      const [language = '', ...words] = info.trim().split(/\s+/)
      fences.push(fence = { file, line: index + 1, language, words, text: '' })
    } else if (marks) sections.push({ file, line: index + 1, level: marks.length, title: plain(title), prose: '', tables: [] })
    else if (sections.length > 0) readLine(sections.at(-1)!, line)
  }
  return { file, text, sections, fences }
}

function readLine (section: Section, line: string): void {
  const before = section.prose.slice(0, -1).split('\n').at(-1)!
  section.prose += `${line}\n`
  if (!line.startsWith('|')) return
  const cells = line.slice(1, line.lastIndexOf('|')).split(/(?<!\\)\|/).map(plain)
  if (cells.every(cell => /^:?-+:?$/.test(cell))) return
  if (before.startsWith('|')) section.tables.at(-1)!.rows.push(cells)
  else section.tables.push({ columns: cells, rows: [] })
}

/** Text without the marks of code, links and escaped pipes. */
function plain (text: string): string {
  return text.trim().replaceAll('`', '').replaceAll('\\|', '|').replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
}

/** The one section of a document with this title. */
export function sectionOf ({ file, sections }: Document, title: string): Section {
  const found = sections.filter(section => section.title === title)
  if (found.length !== 1) throw new Error(`${file} has ${found.length} sections "${title}"`)
  return found[0]!
}

/** The one table of a section whose first column has this name. */
export function tableOf (section: Section, column: string): Table {
  const found = section.tables.filter(({ columns }) => columns[0] === column)
  if (found.length !== 1) throw new Error(`${section.file}, "${section.title}" has ${found.length} tables of "${column}"`)
  return found[0]!
}

/** How GitHub names a heading in links. */
export function anchorOf (title: string): string {
  return title.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-')
}

/** The words of a file of the project. */
export function readProjectFile (file: string): string {
  return readFileSync(new URL(file, ROOT), 'utf8')
}
