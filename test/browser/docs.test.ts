import t from 'tap'
import { type Page, startBrowser } from '../support/browser.js'
import { startService } from '../support/helper.js'

const HOSTILE = '<img src=x onerror="globalThis.broken=1"><script>globalThis.broken=1</script>'

/** A page that notes what its policy forbids it, and what it asks for. */
async function openDocs (open: () => Promise<Page>, url: string): Promise<{ page: Page, asked: string[] }> {
  const page = await open()
  const asked: string[] = []
  page.on('request', request => { asked.push(request.url()) })
  await page.addInitScript(() => {
    const world = globalThis as any
    world.violations = []
    world.document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI, sample }: any) => world.violations.push(`${violatedDirective} ${blockedURI} ${sample}`))
  })
  await page.goto(url)
  await page.waitForFunction(() => (globalThis as any).document.querySelectorAll('.opblock').length > 0, undefined)
  return { page, asked }
}

/** Opens an operation, sends it, and returns the status and text of the answer. */
async function tryOut (page: Page, operationId: string): Promise<{ status: string, text: string }> {
  const click = async (selector: string) => {
    await page.waitForFunction(selector => (globalThis as any).document.querySelector(selector) !== null, selector)
    await page.evaluate(selector => (globalThis as any).document.querySelector(selector).click(), selector)
  }
  const block = `.opblock[id$="-${operationId}"]`
  await click(`${block} .opblock-summary-control`)
  await click(`${block} .try-out__btn`)
  await click(`${block} .btn.execute`)
  const answer = `${block} .live-responses-table`
  await page.waitForFunction(selector => (globalThis as any).document.querySelector(`${selector} .microlight, ${selector} .highlight-code`) !== null, answer)
  return page.evaluate(selector => {
    const { document } = globalThis as any
    return { status: document.querySelector(`${selector} tbody .response-col_status`).textContent.trim().slice(0, 3), text: document.querySelector(`${selector} .highlight-code`).textContent }
  }, answer)
}

t.test('the page of the reference in a real browser', async t => {
  const open = await startBrowser(t)
  if (!open) return
  const service = await startService(t, { RATE_LIMIT_MAX: '1000' })
  const stateOf = (page: Page) => page.evaluate(() => {
    const world = globalThis as any
    return { violations: world.violations, broken: world.broken, images: world.document.querySelectorAll('img[src=x]').length }
  }, undefined)

  t.test('lists every operation, and needs nothing that its policy forbids', async t => {
    const { page, asked } = await openDocs(open, `${service.url}/docs`)
    const { body } = await service.request('GET', '/docs/json')
    const operations = Object.values<object>(body.paths).flatMap(Object.keys).length
    await page.waitForFunction(count => (globalThis as any).document.querySelectorAll('.opblock').length === count, operations)
    t.strictSame(await stateOf(page), { violations: [], broken: undefined, images: 0 })
    t.strictSame(asked.filter(url => !url.startsWith(service.url) && !url.startsWith('data:')), [], 'and nothing of other hosts')
  })

  t.test('tries an operation out', async t => {
    const { page } = await openDocs(open, `${service.url}/docs`)
    t.match(await tryOut(page, 'getHealth'), { status: '200', text: /"healthy"/ })
    t.strictSame((await stateOf(page)).violations, [])
  })

  t.test('makes no HTML of what it is answered', async t => {
    const { page } = await openDocs(open, `${service.url}/docs`)
    await page.evaluate(hostile => {
      const world = globalThis as any
      world.fetch = async () => new world.Response(JSON.stringify({ status: hostile }), { headers: { 'content-type': 'application/json' } })
    }, HOSTILE)
    t.match(await tryOut(page, 'getHealth'), { status: '200', text: /<img src=x onerror/ })
    t.strictSame(await stateOf(page), { violations: [], broken: undefined, images: 0 })
  })

  t.test('shows its own document, whatever an address says', async t => {
    const elsewhere = encodeURIComponent('data:application/json,{"openapi":"3.1.0","info":{"title":"evil","version":"1"},"paths":{}}')
    const { page } = await openDocs(open, `${service.url}/docs?url=${elsewhere}&configUrl=${elsewhere}#${encodeURIComponent(HOSTILE)}`)
    t.match(await page.evaluate(() => (globalThis as any).document.querySelector('.title').textContent, undefined), /^jeesi-railway-backend/)
    t.strictSame(await stateOf(page), { violations: [], broken: undefined, images: 0 })
  })
})
