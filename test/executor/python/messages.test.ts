import t from 'tap'
import { LineCutter, MAX_LINE } from '../../../src/executor/python/messages.js'

t.test('a line that does not end is refused once it is longer than a line may be, and not before', async t => {
  const cutter = new LineCutter()
  t.same(cutter.cut(Buffer.alloc(MAX_LINE, 'x')), [])
  t.equal(cutter.cut(Buffer.from('x')), undefined)
})

t.test('lines are cut wherever they arrive in pieces, also within a character', async t => {
  const bytes = Buffer.from('ä\nb\nc')
  const cutter = new LineCutter()
  t.same([cutter.cut(bytes.subarray(0, 1)), cutter.cut(bytes.subarray(1))], [[], ['ä', 'b']])
})
