import t from 'tap'
import { problemOfNumber } from '#shared/environment/numbers.ts'
import { problemOfHttpUrl } from '#shared/environment/urls.ts'

t.test('a number is digits alone, and what else it may have meant is said in the variable\'s unit', async t => {
  const write = (variable: string, text: string, kind: 'integer' | 'number' = 'integer') => problemOfNumber(variable, text, kind)
  for (const text of ['0', '5', '30.5', '-1', '+2', '.5', '7.']) t.equal(write('DRAIN_SECONDS', text, 'number'), undefined, text)
  const meant: Array<[string, string, number]> = [
    ['DRAIN_SECONDS', '30s', 30], ['DRAIN_SECONDS', '2 m', 120], ['DRAIN_SECONDS', '1 hour', 3600], ['DRAIN_SECONDS', '500ms', 0.5], ['DRAIN_SECONDS', '20 seconds', 20],
    ['RATE_LIMIT_WINDOW', '60s', 60_000], ['STREAM_FLUSH_MS', '50ms', 50], ['RUN_RETENTION_DAYS', '2 days', 2], ['RUN_RETENTION_DAYS', '12h', 0.5],
    ['BODY_LIMIT', '10mb', 10_485_760], ['BODY_LIMIT', '10MB', 10_485_760], ['RATE_LIMIT_BYTES', '1.5GiB', 1_610_612_736], ['PYTHON_MEMORY_MB', '2gb', 2048], ['PYTHON_MEMORY_MB', '512M', 512],
    ['MAX_QUEUED_RUNS', '1_000', 1000], ['MAX_QUEUED_RUNS', '1,000', 1000], ['MAX_QUEUED_RUNS', '1.000.000', 1_000_000], ['MAX_QUEUED_RUNS', '10 000', 10_000], ['MAX_QUEUED_RUNS', '1e3', 1000],
    ['DRAIN_SECONDS', '2,5', 2.5]
  ]
  for (const [variable, text, value] of meant) {
    const kind = Number.isInteger(value) ? 'integer' : 'number'
    t.match(write(variable, text, kind), new RegExp(`^${variable} must be a plain ${kind}.*: write ${value} instead of ${text}$`), `${variable}=${text}`)
  }
  for (const [variable, text] of [['PORT', 'abc'], ['PORT', '0x10'], ['PORT', '80s'], ['DRAIN_SECONDS', '30mb'], ['BODY_LIMIT', '10s'], ['BODY_LIMIT', 'Infinity'], ['BODY_LIMIT', 'sk-1234567890'], ['BODY_LIMIT', '1e999'], ['DRAIN_SECONDS', '1e-3']] as const) {
    const problem = write(variable, text)
    t.match(problem, new RegExp(`^${variable} must be a plain integer.*, in digits$`))
    t.notOk(problem!.includes(text), 'what is no number may be a secret, and is not repeated')
  }
})

t.test('an address of a server has a scheme', async t => {
  for (const url of ['http://localhost:11434/v1', 'https://a.example', 'HTTPS://a.example/']) t.equal(problemOfHttpUrl('X_URL', url), undefined, url)
  const must = 'X_URL must be a URL that begins with http:// or https://'
  const write: Record<string, string | undefined> = {
    'service.up.railway.app': 'https://service.up.railway.app',
    'service.up.railway.app/': 'https://service.up.railway.app/',
    'localhost:3000': 'http://localhost:3000',
    'service.railway.internal:3000': 'http://service.railway.internal:3000',
    '127.0.0.1:54321': 'http://127.0.0.1:54321',
    'https:a.example': undefined,
    'http:/a.example': undefined,
    'https://': undefined,
    'https://a b': undefined,
    'ftp://user:secret@a.example': undefined,
    'user:secret@a.example': undefined,
    secret: undefined,
    [`eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.${'a'.repeat(43)}`]: undefined
  }
  for (const [text, better] of Object.entries(write)) t.equal(problemOfHttpUrl('X_URL', text), better ? `${must}: write ${better}` : must, text)
})
