import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { GrowingText } from '../../src/lib/growing-text.js'
import { often } from '../support/scope.js'

const piece = fc.oneof(fc.string({ unit: 'grapheme' }), fc.string({ unit: fc.constantFrom('a', 'é', '語', '😀') }), fc.string({ minLength: 200, maxLength: 400 }))

t.test('a growing text equals the concatenation of its pieces at every moment', async t => {
  t.doesNotThrow(() => fc.assert(fc.property(fc.array(piece), fc.nat(), fc.nat(), (pieces, from, to) => {
    const text = new GrowingText()
    let string = ''
    for (const piece of pieces) {
      text.append(piece)
      string += piece
      assert.equal(text.length, string.length)
      assert.equal(`${text}`, string)
      assert.equal(text.slice(from % 50, to % 50), string.slice(from % 50, to % 50))
      assert.equal(text.slice(from % 50), string.slice(from % 50))
    }
  }), { numRuns: often(500) }))
})

t.test('any piece of a long text is as it was appended, in whatever order pieces are read', async t => {
  for (const unit of ['a', 'aé語😀']) {
    const string = Array.from({ length: 4000 }, (_, index) => `${index} ${unit}`).join(' ')
    const text = new GrowingText()
    text.append(string)
    await t.resolves(fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.nat(string.length), fc.nat(40)), { minLength: 1, maxLength: 20 }), async pieces => {
      for (const [from, length] of pieces) {
        assert.equal(text.slice(from, from + length), string.slice(from, from + length))
        // What was decoded is kept until then.
        await null
      }
      assert.equal(text.slice(pieces[0]![0]), string.slice(pieces[0]![0]))
    }), { numRuns: often(200) }))
  }
})

t.test('its memory is at most twice its bytes', async t => {
  const text = new GrowingText()
  let size = 0
  for (let i = 0; i < 10_000; i++) size += text.append(' word')
  t.ok(size >= 50_000 && size <= 100_000 + 256, `${size}`)
})
