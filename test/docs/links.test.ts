import { existsSync, statSync } from 'node:fs'
import { posix } from 'node:path'
import t from 'tap'
import { anchorOf, type Document, readDocument, readDocuments } from './markdown.js'

const ROOT = new URL('../../', import.meta.url)
const documents = readDocuments()

for (const document of documents) {
  t.test(`every link of ${document.file} leads somewhere in the project`, async t => {
    for (const [, target] of withoutFences(document).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target!)) continue
      const [path = '', anchor] = target!.split('#')
      const file = path === '' ? document.file : posix.join(posix.dirname(document.file), path)
      const exists = existsSync(new URL(file, ROOT))
      t.ok(exists, target!)
      if (exists && anchor !== undefined) t.ok(anchorsOf(file).includes(anchor), `${target} has its heading`)
    }
  })
}

t.test('every document is reached from docs/README.md', async t => {
  const reached = new Set(['docs/README.md'])
  for (const file of reached) {
    if (!file.endsWith('.md')) continue
    for (const [, path] of readDocument(file).text.matchAll(/\]\(([^)\s#]+)[^)]*\)/g)) {
      const target = posix.join(posix.dirname(file), path!)
      if (!/^https?:/.test(path!) && existsSync(new URL(target, ROOT)) && statSync(new URL(target, ROOT)).isFile()) reached.add(target)
    }
  }
  t.strictSame(documents.map(({ file }) => file).filter(file => !reached.has(file)), [])
})

t.test('paths of files that documents name are there', async t => {
  for (const document of documents) {
    for (const [, path] of withoutFences(document).matchAll(/`((?:src|test|supabase|docs|bench|python)\/[\w./-]+)`/g)) {
      // What a reader or a package manager is to make is not there yet.
      if (path === 'python/examples/shopping_list.py' || path!.includes('node_modules')) continue
      t.ok(existsSync(new URL(path!, ROOT)), `${document.file}: ${path}`)
    }
  }
})

t.test('README.md has at most 200 lines, and docs/design.md fewer than 300', async t => {
  t.ok(readDocument('README.md').text.split('\n').length <= 201)
  t.ok(readDocument('docs/design.md').text.split('\n').length <= 300)
})

function anchorsOf (file: string): string[] {
  return readDocument(file).sections.map(({ title }) => anchorOf(title))
}

function withoutFences ({ text }: Document): string {
  return text.replace(/^ *(`{3,})[\s\S]*?^ *\1$/gm, '')
}
