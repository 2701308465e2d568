import t from 'tap'
import { startCuttingProxy } from '../client/cutting-proxy.js'
import { type Page, startBrowser } from '../support/browser.js'
import { askIn, seesText, signIn, startBuilt, violationsOf, watchPage } from '../support/console.js'
import { delta, ending, frame, hang, openStream, refuse, say, startGateway } from '../support/doubles/gateway.js'
import { bearer, DEMO_AGENT, DEMO_USER, OTHER_USER } from '../support/helper.js'

const HOSTILE = '<img src=x onerror="globalThis.broken=1"><script>globalThis.broken=1</script>'
/** Characters of an answer that is longer than anybody reads. */
const LONG = 5_000_000

t.test('talking to agents in the console', async t => {
  const open = await startBrowser(t)
  if (!open) return
  const gateway = await startGateway(t)
  const service = await startBuilt(t, gateway.url, { MAX_RUNS_PER_USER: '2' })
  const proxy = await startCuttingProxy(t, service.url)
  const call = async (method: string, path: string, body?: object, userId = DEMO_USER) => {
    const answer = await fetch(service.url + path, { method, headers: { 'content-type': 'application/json', ...await bearer(userId) }, body: body && JSON.stringify(body) })
    return answer.json() as Promise<any>
  }
  const page = await watchPage(await open())
  const begin = (address = 'talk') => page.goto(`${proxy.url}/console#/${address}`)
  await signIn(page, proxy.url)
  t.beforeEach(async () => {
    gateway.calls.length = 0
    await begin()
    await page.getByLabel('Agent', { exact: true }).waitFor()
  })

  t.test('shows an answer while it is written, goes on with it after a reload and a broken connection, and says what it cost', async t => {
    let go = () => {}
    gateway.reply = async response => {
      openStream(response).write(delta('The answer'))
      await new Promise<void>(resolve => { go = resolve })
      response.end(delta(' is 42.') + ending())
    }
    await askIn(page, 'What is it?')
    await seesText(page, 'The answer')
    await page.reload()
    await seesText(page, 'The answer')
    proxy.cut()
    go()
    await seesText(page, 'The answer is 42.')
    await page.waitForFunction(() => /15 tokens · 1 credit/.test((globalThis as any).document.body.innerText), undefined)
    t.equal(gateway.calls.length, 1, 'the model was asked once')
    gateway.reply = say('Because.')
    await askIn(page, 'Why?')
    await seesText(page, 'Because.')
    t.match(gateway.calls[1]!.body.messages.slice(-3), [{ content: 'What is it?' }, { role: 'assistant', content: 'The answer is 42.' }, { role: 'user', content: 'Why?' }])
  })

  t.test('shows reasoning, tool calls and progress as text, whatever stands in them', async t => {
    const { id } = await call('POST', '/api/functions', {
      agent_id: DEMO_AGENT, name: 'lookup', function_type: 'data_transform', config: { transform_type: 'format', template: HOSTILE, parameters: { type: 'object', properties: { q: { type: 'string' } } } }
    })
    gateway.reply = (response, _call, number) => {
      if (number > 1) return say(HOSTILE)(response, _call, number)
      openStream(response).end(
        frame({ choices: [{ index: 0, delta: { reasoning_content: 'First I look it up.' } }] }) +
        frame({ choices: [{ index: 0, delta: { tool_calls: [{ index: 0, id: 'call-1', type: 'function', function: { name: 'lookup', arguments: JSON.stringify({ q: HOSTILE }) } }] } }] }) + ending('tool_calls'))
    }
    await askIn(page, HOSTILE)
    await page.locator('.foot').waitFor()
    await page.getByText('Reasoning').click()
    await seesText(page, 'First I look it up.')
    await page.locator('.happening').filter({ hasText: 'lookup' }).locator('summary').click()
    await page.waitForFunction(hostile => [...(globalThis as any).document.querySelectorAll('.happening pre')].some(({ textContent }: any) => textContent === hostile), HOSTILE)
    t.equal(await page.locator('.answer > .text').textContent(), HOSTILE)
    t.equal(await page.locator('main img, main script').count(), 0)
    t.equal(await page.evaluate(() => (globalThis as any).broken, undefined), undefined)
    await call('DELETE', `/api/functions/${id}`)
  })

  t.test('lets several conversations be answered at once, says who waits in line, and stops each', async () => {
    gateway.reply = hang('half')
    for (const question of ['One', 'Two']) {
      await askIn(page, question)
      await seesText(page, 'half')
      await page.getByRole('link', { name: 'New conversation' }).click()
      await page.getByLabel('Agent', { exact: true }).waitFor()
    }
    await askIn(page, 'Three')
    await seesText(page, 'Waiting in line: number')
    for (const question of ['One', 'Two', 'Three']) {
      await page.getByRole('link', { name: new RegExp(question) }).first().click()
      await page.getByRole('button', { name: 'Stop' }).click()
      await seesText(page, 'stopped')
    }
  })

  t.test('shows the end of 5,000,000 characters while they are written, then their beginning, and the rest if it is wanted', async t => {
    const word = 'All work and no play. '
    gateway.reply = response => { openStream(response).end(Array.from({ length: 50 }, () => delta(word.repeat(Math.ceil(LONG / 50 / word.length)))).join('') + delta('The end') + ending()) }
    await askIn(page, 'Much')
    await seesText(page, '5.0 M characters in all.')
    t.ok((await page.locator('.answer .text').textContent())!.length < 100_000)
    await page.getByRole('button', { name: 'Show all' }).click()
    await page.waitForFunction(() => (globalThis as any).document.querySelector('.answer .text').textContent.endsWith('The end'), undefined)
    t.strictSame(await violationsOf(page), [])
  })

  t.test('says in a sentence why there is no answer, and goes on by Ask again', async () => {
    gateway.reply = refuse(401)
    await askIn(page, 'Hello')
    await seesText(page, 'This agent is not available right now.')
    gateway.reply = say('There you are.')
    await page.getByRole('button', { name: 'Ask again' }).click()
    await seesText(page, 'There you are.')
  })

  t.test('tells of a deleted agent, of a lost connection and of no credits', async t => {
    const { id } = await call('POST', '/api/agents', { name: 'Short-lived' })
    await begin(`talk?agent=${id}`)
    await page.waitForFunction(id => (globalThis as any).document.querySelector('.beginning select')?.value === id, id)
    await call('DELETE', `/api/agents/${id}`)
    await askIn(page, 'Are you there?')
    await seesText(page, 'There is no such agent.')
    await begin(`agents/${id}`)
    await seesText(page, 'This agent was deleted, or it is somebody else\'s.')
    await page.context().setOffline(true)
    await seesText(page, 'There is no connection.')
    await page.context().setOffline(false)
    await page.waitForFunction(() => !(globalThis as any).document.body.innerText.includes('There is no connection.'), undefined)
    await call('POST', `/api/admin/users/${OTHER_USER}/credits`, { credits: -3, reason: 'A test' })
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('button', { name: /other@jeesi.local/ }).click()
    await page.getByRole('button', { name: 'Sign out' }).waitFor()
    await begin('talk')
    await page.getByLabel('Your message').waitFor()
    await askIn(page, 'Hello')
    await page.getByRole('link', { name: 'See your balance' }).click()
    await seesText(page, 'There are no credits left.')
    t.equal(await page.getByRole('link', { name: 'Administration' }).count(), 0, 'who is no admin is not led there')
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('button', { name: /demo@jeesi.local/ }).click()
  })
})

t.test('the console by keyboard alone, and with a session that ends', async t => {
  const open = await startBrowser(t)
  if (!open) return
  const gateway = await startGateway(t, say('By keyboard.'))
  const { url } = await startBuilt(t, gateway.url)
  const page = await watchPage(await open())
  await page.goto(`${url}/`)
  await page.getByRole('button', { name: /demo@jeesi.local/ }).waitFor()

  t.test('signs in, asks, and finds the run', async t => {
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await page.getByLabel('Your message').waitFor()
    await tabTo(page, 'TEXTAREA')
    await page.keyboard.type('Hello')
    await page.keyboard.press('Enter')
    await seesText(page, 'By keyboard.')
    await page.locator('.foot').waitFor()
    await tabTo(page, 'Details')
    await page.keyboard.press('Enter')
    await seesText(page, 'Time line')
    t.equal(await focused(page), 'H1', 'who follows a link is at the title of the page')
    await seesText(page, 'By keyboard.')
    await tabTo(page, 'Ask again')
    await page.keyboard.press('Enter')
    await page.locator('.foot').waitFor()
    t.equal(gateway.calls.length, 2)
    t.match(gateway.calls[1]!.body.messages.at(-1), { content: 'Hello' }, 'the run\'s own question')
  })

  t.test('asks who one is when the session is over, and goes on where one was', async () => {
    await page.evaluate(() => { (globalThis as any).location.hash = '#/credits' }, undefined)
    await seesText(page, 'Ledger')
    await page.route(/\/api\/(credits|console\/sessions)/, route => route.fulfill({ status: 401, contentType: 'application/json', body: '{"error":"The token has expired.","code":"unauthorized"}' }))
    await page.evaluate(() => { (globalThis as any).location.hash = '#/runs' }, undefined)
    await seesText(page, 'Newest first')
    await page.evaluate(() => { (globalThis as any).location.hash = '#/credits' }, undefined)
    await seesText(page, 'Your session has ended.')
  })
})

/** What has the focus: its text, or what it is. */
function focused (page: Page): Promise<string> {
  return page.evaluate(() => (globalThis as any).document.activeElement.tagName, undefined)
}

/** Presses Tab until something has the focus, by its text or by what it is. */
async function tabTo (page: Page, what: string): Promise<void> {
  for (let presses = 0; presses < 60; presses++) {
    await page.keyboard.press('Tab')
    const found = await page.evaluate(what => {
      const { tagName, textContent } = (globalThis as any).document.activeElement
      return tagName === what || textContent.trim() === what
    }, what)
    if (found) return
  }
  throw new Error(`Tab does not lead to ${what}`)
}
