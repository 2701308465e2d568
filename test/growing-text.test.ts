import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { GrowingText } from '../src/executor/growing-text.js'

const piece = fc.oneof(fc.string({ unit: 'grapheme' }), fc.string({ unit: fc.constantFrom('a', 'é', '語', '😀') }), fc.string({ minLength: 200, maxLength: 400 }))
const change = fc.oneof(
  { weight: 5, arbitrary: fc.record({ append: piece }) },
  { weight: 1, arbitrary: fc.record({ truncate: fc.nat({ max: 100 }) }) }
)

t.test('a text that grows is the string that its pieces make, at every moment', async t => {
  t.doesNotThrow(() => fc.assert(fc.property(fc.array(change), fc.nat(), fc.nat(), (changes, from, to) => {
    const text = new GrowingText()
    let string = ''
    for (const change of changes) {
      if ('append' in change) {
        text.append(change.append)
        string += change.append
      } else {
        // Where a piece began, as all do who take something back.
        const length = [...string].slice(0, change.truncate).join('').length
        text.truncate(length)
        string = string.slice(0, length)
      }
      assert.equal(text.length, string.length)
      assert.equal(`${text}`, string)
      assert.equal(text.slice(from % 50, to % 50), string.slice(from % 50, to % 50))
      assert.equal(text.slice(from % 50), string.slice(from % 50))
    }
  }), { numRuns: 500 }))
})

t.test('it takes little more memory than its bytes', async t => {
  const text = new GrowingText()
  let size = 0
  for (let i = 0; i < 10_000; i++) size += text.append(' word')
  t.ok(size >= 50_000 && size <= 100_000 + 256, `${size}`)
})
