import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { renderChart } from './chart.js'
import { DOCUMENTS, fillIn, renderParts } from './document.js'
import { merge, type Report } from './result.js'

const ROOT = fileURLToPath(new URL('../', import.meta.url))
const JSON_FILE = 'docs/bench.json'
const SVG_FILE = 'docs/bench.svg'
/** The looks that a published figure is the median of, at the least. */
export const LOOKS = 3

/** Reads docs/bench.json. */
export async function readPublished (root = ROOT): Promise<Report> {
  return JSON.parse(await readFile(`${root}/${JSON_FILE}`, 'utf8'))
}

/** Writes docs/bench.json with what was measured anew, the chart, and the parts of the documents that are made of it. */
export async function publish (measured: Report, root = ROOT): Promise<void> {
  const thin = [...measured.results, ...measured.scaled ? [measured.scaled] : []].some(({ looks }) => looks < LOOKS)
  if (thin) throw new Error(`A published figure is the median of ${LOOKS} looks at the least.`)
  const report = merge(await readPublished(root), measured)
  const parts = renderParts(report)
  await writeFile(`${root}/${JSON_FILE}`, render(report))
  if (report.results[0]) await writeFile(`${root}/${SVG_FILE}`, renderChart(report.results[0]))
  for (const path of DOCUMENTS) await writeFile(`${root}/${path}`, fillIn(await readFile(`${root}/${path}`, 'utf8'), parts))
}

/** JSON with a line a figure. */
export function render (report: Report): string {
  const figure = /\{\n\s+("median": [^\n]+)\n\s+("min": [^\n]+)\n\s+("max": [^\n]+)\n\s+("runs": [^\n]+)\n\s+\}/g
  return `${JSON.stringify(report, null, 2).replace(figure, '{ $1 $2 $3 $4 }')}\n`
}
