import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand } from '../../src/lib/command.js'
import { readImports, ROOT, type Imports } from './imports.js'
import { ROOMS, roomOf } from './rooms.js'

const DESIGN = join(ROOT, 'docs/design.md')
const PLACE = /(<!-- rooms -->\n)[^]*?(<!-- \/rooms -->)/

/** Draws the rooms and their arrows, as the imports are, into docs/design.md: `npm run picture`. */
export function drawDesign (text: string, imports = readImports()): string {
  return text.replace(PLACE, (_, begin: string, end: string) => `${begin}\`\`\`mermaid\n${drawRooms(imports)}\`\`\`\n${end}`)
}

/** A flow chart in Mermaid: an arrow from a room to each that it imports from. Arrows to the shared files and to lib are left out. */
export function drawRooms (imports: Imports): string {
  const arrows = new Map<string, Set<string>>()
  const seen = new Set<string>()
  for (const [file, { files }] of imports) {
    const from = roomOf(file)!.path
    seen.add(from)
    for (const target of files) {
      const to = roomOf(target)!.path
      if (to === from || GROUND.has(to)) continue
      if (!arrows.has(from)) arrows.set(from, new Set())
      arrows.get(from)!.add(idOf(to))
    }
  }
  const rooms = ROOMS.map(({ path }) => path).filter(path => seen.has(path)).reverse()
  const lines = [...arrows].map(([from, targets]) => `  ${idOf(from)} --> ${[...targets].sort().join(' & ')}\n`)
  return `flowchart TD\n${rooms.map(path => `  ${idOf(path)}["${path.replace(/^src\//, '').replace('supabase/functions/', '')}"]\n`).join('')}${lines.sort().join('')}`
}

/** Nearly every room imports from these. */
const GROUND = new Set(['supabase/functions/_shared', 'src/lib'])

function idOf (path: string): string {
  return path.replace(/^src\//, '').replace(/\W+/g, '_')
}

if (process.argv[1]?.endsWith('picture.ts')) {
  await runCommand({ name: 'npm run picture', does: 'draws the rooms and their imports into docs/design.md.', options: {} }, async () => {
    writeFileSync(DESIGN, drawDesign(readFileSync(DESIGN, 'utf8')))
  })
}
