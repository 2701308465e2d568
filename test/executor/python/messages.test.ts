import t from 'tap'
import { LineSplitter, MAX_LINE } from '../../../src/executor/python/messages.js'

t.test('a line that does not end is refused once it is longer than a line may be, and not before', async t => {
  const splitter = new LineSplitter()
  t.same(splitter.split(Buffer.alloc(MAX_LINE, 'x')), [])
  t.equal(splitter.split(Buffer.from('x')), undefined)
})

t.test('lines are cut wherever they arrive in pieces, also within a character', async t => {
  const bytes = Buffer.from('ä\nb\nc')
  const splitter = new LineSplitter()
  t.same([splitter.split(bytes.subarray(0, 1)), splitter.split(bytes.subarray(1))], [[], ['ä', 'b']])
})
