import fc from 'fast-check'
import t from 'tap'
import { findWords, occursIn, searchedPartOf } from '#shared/functions/word-search.ts'

t.test('property: the words that are found are those that occur', async () => {
  const letters = (maxLength: number, minLength = 1) => fc.string({ unit: fc.constantFrom('a', 'b', '\ud83d'), minLength, maxLength })
  const texts = fc.tuple(letters(5_000, 0), fc.array(letters(12)))
  await fc.assert(fc.asyncProperty(texts, async ([text, words]) => {
    const found = await findWords(text, words)
    return words.every(word => found.has(word) === text.includes(word)) && occursIn(text, words) === words.some(word => text.includes(word))
  }))
})

t.test('words of all lengths are found at the beginning and at the end of a long text', async t => {
  const words = Array.from({ length: 100 }, (_, n) => `${'w'.repeat(n)}!`)
  for (const word of words) {
    t.same([...await findWords(`${word}${'x'.repeat(10_000)}`, [word, 'no'])], [word])
    t.same([...await findWords(`${'x'.repeat(10_000)}${word}`, [word, 'no'])], [word])
  }
  t.equal(occursIn('x'.repeat(10_000), words), false)
})

t.test('of a long text the beginning and the end are searched, in lower case', async t => {
  t.equal(searchedPartOf('Invoice'), 'invoice')
  const part = searchedPartOf(`FIRST${'x'.repeat(5_000_000)}LAST`)
  t.match(part, /^first.*\n.*last$/)
  t.ok(part.length < 20_000)
})

t.test('ten thousand words on a long text leave the process its turns', async t => {
  const words = Array.from({ length: 10_000 }, (_, n) => `${'a'.repeat(n % 95)}b${n % 100}`)
  // Longer than any part that is searched, so that it takes several turns on a fast machine too.
  const text = 'a'.repeat(200_000)
  let turns = 0
  const counting = setInterval(() => { turns++ }, 1)
  t.equal((await findWords(text, words)).size, 0)
  clearInterval(counting)
  t.ok(turns >= 3, `${turns} turns of the event loop in between`)
})
