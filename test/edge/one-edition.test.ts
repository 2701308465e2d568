import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
/** The programs, and what they share. */
const FOLDERS = ['src', 'supabase/functions/agent-runtime', 'supabase/functions/_shared']

/** Each of these may stand once: in `_shared` where two programs need it. Shorter ones are alike by chance. */
const SHORTEST = { body: 60, expression: 16, sentence: 32 }

interface Found { kind: keyof typeof SHORTEST, text: string, folder: string, where: string }

/** The bodies of functions, regular expressions, and sentences of a file, without the comments and spaces that are nobody's. */
function definitionsIn (source: ts.SourceFile): Array<Pick<Found, 'kind' | 'text'> & { at: number }> {
  const found: ReturnType<typeof definitionsIn> = []
  const add = (kind: keyof typeof SHORTEST, text: string, node: ts.Node) => {
    if (text.length >= SHORTEST[kind]) found.push({ kind, text, at: source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1 })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body) add('body', printer.printNode(ts.EmitHint.Unspecified, node.body as ts.Node, source).replace(/\s+/g, ' '), node)
    if (ts.isRegularExpressionLiteral(node)) add('expression', node.text, node)
    if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node)) add('sentence', node.text, node)
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

const printer = ts.createPrinter({ removeComments: true })

async function definitionsOf (folder: string): Promise<Found[]> {
  const files = (await readdir(join(ROOT, folder), { recursive: true })).filter(name => name.endsWith('.ts'))
  return (await Promise.all(files.map(async name => {
    const path = join(ROOT, folder, name)
    const source = ts.createSourceFile(path, await readFile(path, 'utf8'), ts.ScriptTarget.Latest)
    return definitionsIn(source).map(({ at, ...definition }) => ({ ...definition, folder, where: `${relative(ROOT, path)}:${at}` }))
  }))).flat()
}

t.test('nothing is defined by two of the service, the edge function and what they share', async t => {
  const places = new Map<string, Found[]>()
  for (const found of (await Promise.all(FOLDERS.map(definitionsOf))).flat()) {
    const key = `${found.kind} ${found.text}`
    places.set(key, [...places.get(key) ?? [], found])
  }
  t.ok(places.size > 500, 'something was read')
  for (const [definition, all] of places) {
    if (new Set(all.map(({ folder }) => folder)).size > 1) t.fail(`${all.map(({ where }) => where).join(' and ')}: ${definition.slice(0, 160)}`)
  }
})
