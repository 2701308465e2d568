import fc from 'fast-check'
import t from 'tap'
import { isExcepted, isPublic } from '#shared/http/addresses.ts'

t.test('addresses of the public internet may be connected to', async t => {
  for (const address of ['8.8.8.8', '1.1.1.1', '172.15.255.255', '172.32.0.1', '100.63.255.255', '100.128.0.1', '2606:4700:4700::1111', '2a00:1450:4001::1']) {
    t.ok(isPublic(address), address)
  }
})

t.test('no other address may', async t => {
  const refused = [
    '127.0.0.1', '127.255.255.254', '10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.0.1', '100.64.0.1', '100.127.255.255',
    '169.254.169.254', '0.0.0.0', '0.1.2.3', '224.0.0.1', '239.255.255.255', '255.255.255.255', '240.0.0.1',
    '192.0.2.1', '198.51.100.1', '203.0.113.1', '198.18.0.1', '192.0.0.1', '192.88.99.1',
    '::', '::1', 'fe80::1', 'fe80::1%eth0', 'febf::1', 'fec0::1', 'fc00::1', 'fd12:3456::1', 'fdff::1', 'ff02::1', '2001:db8::1', '100::1', '3fff::1', '5f00::1',
    '2001::1', '4000::1', 'e000::1'
  ]
  for (const address of refused) t.notOk(isPublic(address), address)
  for (const nonsense of ['', 'localhost', '127.1', '2130706433', '0x7f000001', '1.2.3.4.5', ':::']) t.notOk(isPublic(nonsense), nonsense)
})

t.test('an IPv6 address that carries an IPv4 address is judged by that', async t => {
  const forms = {
    mapped: (hex: string) => `::ffff:${hex}`,
    nat64: (hex: string) => `64:ff9b::${hex}`,
    '6to4': (hex: string) => `2002:${hex}::1`
  }
  for (const [name, form] of Object.entries(forms)) {
    t.ok(isPublic(form('808:808')), `${name} of 8.8.8.8`)
    for (const hex of ['7f00:1', 'a00:1', 'a9fe:a9fe', 'c0a8:1', '0:0', 'e000:1', 'ffff:ffff']) t.notOk(isPublic(form(hex)), `${name} of ${hex}`)
  }
  t.notOk(isPublic('::ffff:127.0.0.1'))
  t.notOk(isPublic('::127.0.0.1'), 'the old form without ffff')
  t.notOk(isPublic('64:ff9b:1::808:808'), 'the prefix for translation within a network')
  t.notOk(isPublic('2001:0:808:808::1'), 'a tunnel')
  t.notOk(isPublic('::ffff:0:127.0.0.1'))
})

t.test('property: an address of a private range is refused in each of its forms', async () => {
  const byte = fc.nat({ max: 255 })
  const privateAddress = fc.oneof(
    fc.tuple(fc.constant(10), byte, byte, byte),
    fc.tuple(fc.constant(127), byte, byte, byte),
    fc.tuple(fc.constant(172), fc.integer({ min: 16, max: 31 }), byte, byte),
    fc.tuple(fc.constant(192), fc.constant(168), byte, byte),
    fc.tuple(fc.constant(169), fc.constant(254), byte, byte),
    fc.tuple(fc.constant(100), fc.integer({ min: 64, max: 127 }), byte, byte)
  )
  fc.assert(fc.property(privateAddress, bytes => {
    const [a, b, c, d] = bytes
    const hex = `${(a << 8 | b).toString(16)}:${(c << 8 | d).toString(16)}`
    const forms = [bytes.join('.'), `::ffff:${bytes.join('.')}`, `::${bytes.join('.')}`, `64:ff9b::${hex}`, `2002:${hex}::`]
    return forms.every(form => !isPublic(form))
  }))
})

t.test('exceptions are names, addresses and ranges, on one port or on all', async t => {
  const exceptions = [{ host: 'tools.internal' }, { host: 'db.internal', port: 80 }, { host: '127.0.0.1', port: 8080 }, { host: '10.1.0.0', bits: 16 }, { host: 'fd00::', bits: 8 }]
  t.ok(isExcepted(exceptions, 'tools.internal', '10.0.0.1', 1))
  t.ok(isExcepted(exceptions, 'Tools.Internal.', '10.0.0.1', 1))
  t.notOk(isExcepted(exceptions, 'x.tools.internal', '10.0.0.1', 1))
  t.ok(isExcepted(exceptions, 'db.internal', '10.0.0.1', 80))
  t.notOk(isExcepted(exceptions, 'db.internal', '10.0.0.1', 81))
  t.ok(isExcepted(exceptions, 'any', '127.0.0.1', 8080))
  t.ok(isExcepted(exceptions, 'any', '::ffff:127.0.0.1', 8080))
  t.notOk(isExcepted(exceptions, 'any', '127.0.0.1', 8081))
  t.notOk(isExcepted(exceptions, 'any', '127.0.0.2', 8080))
  t.ok(isExcepted(exceptions, 'any', '10.1.255.1', 5))
  t.notOk(isExcepted(exceptions, 'any', '10.2.0.1', 5))
  t.ok(isExcepted(exceptions, 'any', 'fd99::1', 5))
  t.notOk(isExcepted(exceptions, 'any', 'fe80::1', 5))
  t.notOk(isExcepted([], 'localhost', '127.0.0.1', 80))
})
