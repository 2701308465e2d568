import t from 'tap'
import { UUID } from '#shared/uuid.ts'

t.test('a uuid is thirty-two hexadecimal digits in five groups, and nothing around them', async t => {
  const uuid = '6f9619ff-8b86-d011-b42d-00c04fc964ff'
  for (const valid of [uuid, uuid.toUpperCase()]) t.ok(UUID.test(valid), valid)
  for (const other of ['', `urn:uuid:${uuid}`, `{${uuid}}`, `${uuid}\n`, ` ${uuid}`, uuid.replaceAll('-', ''), uuid.replace('f', 'g'), `${uuid}0`]) {
    t.notOk(UUID.test(other), JSON.stringify(other))
  }
})
