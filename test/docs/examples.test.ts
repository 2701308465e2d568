import t from 'tap'
import { type Fence, readDocuments } from './markdown.js'
import { checkCommands, checkEnvironment, checkJson, checkPicture, checkSocketExchange, checkStream, commandsIn } from './static-examples.js'

/**
 * How a fence is marked, and what happens to it:
 *
 * - `sh`: commands of npm and tap are checked against package.json and the files of `test/`; those of curl are executed.
 * - `js run`: executed. `python agent=…`, `python tool=…`: executed as an agent or a function. `sh tutorial`: executed in turn.
 * - `python client`, and `js client` beside the built client: executed. `html browser`: shown by a real browser, in test/browser.
 * - `sql`: executed on an embedded database. `env`: read as the service reads its environment.
 * - `json <Schema>`, `text sse`, `text websocket`: checked against the contract. `mermaid`: checked against the code.
 * - anything `no-test`: not checked; the reason stands here, by the file and the first line of the fence.
 *
 * What is executed is in executed-examples.test.ts, and test/browser/examples.test.ts.
 */
const NOT_TESTED: Record<string, string> = {
  'docs/design.md: caller ── route / socket ── auth ── runs.begin ── queue ── executor ──── agent ──── gateway (HTTP/1.1)': 'a drawing',
  'docs/explanation/edge-function.md: caller ── who calls ── get_agent ─┬─ heavy, Python: begin_run (no owner yet, one credit held)': 'a drawing',
  'docs/how-to/credits.md: npm run audit': 'needs the reader\'s database; test/cli/audit.test.ts runs the command',
  'docs/how-to/deploy.md: export SUPABASE_DB_URL=postgres://postgres.<project>@aws-0-eu-central-1.pooler.supabase.com:5432/postgres': 'needs a Supabase project; test/cli/migrate.test.ts runs the command',
  'docs/how-to/deploy.md: npm run migrate -- --into ../platform/supabase/migrations': 'needs the platform\'s repository; test/cli/migrate-supabase.test.ts runs the command',
  'docs/how-to/deploy.md: supabase link --project-ref <project>': 'needs a Supabase project; test/cli/migrate-supabase.test.ts pushes to a database without one',
  'docs/how-to/deploy.md: npm run audit -- --url postgres://postgres:<password>@db.<project>.supabase.co:5432/postgres': 'needs a Supabase project',
  'docs/how-to/edge-function.md: supabase secrets set LOVABLE_API_KEY=… RAILWAY_BACKEND_URL=https://<service>.up.railway.app RAILWAY_BACKEND_SECRET=…': 'needs a Supabase project',
  'docs/how-to/edge-function.md: id: 2': 'a frame of the edge function, with what the service\'s have not; test/edge/functions.test.ts reads such frames',
  'docs/how-to/edge-function.md: curl "$URL/api/admin/railway-urls" -H "authorization: Bearer $TOKEN"': 'needs a request that waits; test/routes/admin.test.ts settles one',
  'docs/how-to/trace.md: docker run -d -p 16686:16686 -p 4318:4318 jaegertracing/jaeger': 'needs Docker; test/process/traces.test.ts sends to a collector',
  'docs/how-to/trace.md: POST /agent-runtime                        the edge function, if the run began there': 'a drawing; test/traces and test/edge/traces.test.ts hold it',
  'docs/how-to/use-openai-packages.md: import OpenAI from \'openai\'': 'needs the package; test/faces/openai.test.ts runs it',
  'docs/how-to/use-openai-packages.md: from openai import OpenAI': 'needs Python\'s package, which test/faces/openai-requests.test.ts stands in for',
  'docs/how-to/use-the-client.md: import { run, RunText } from \'jeesi-railway-backend/client\'': 'needs a project that has the package; test/client/package.test.ts runs it in one',
  'docs/how-to/use-the-client.md: <div id="jeesi-agent"></div>': 'a page of the reader\'s; test/browser/own-widget.test.ts does this',
  'docs/how-to/use-ag-ui.md: import { HttpAgent } from \'@ag-ui/client\'': 'needs the package; test/faces/ag-ui.test.ts runs it',
  'docs/how-to/use-ag-ui.md: import { CopilotChat, CopilotKitProvider } from \'@copilotkit/react-core/v2\'': 'needs React and packages of hundreds of megabytes; test/faces/copilotkit.test.ts does the same without what it looks like',
  'docs/how-to/use-ai-sdk.md: import { useChat } from \'@ai-sdk/react\'': 'needs the package and a browser; test/browser/ai-sdk.test.ts runs it',
  'docs/how-to/use-ai-sdk.md: import { WorkflowChatTransport } from \'@ai-sdk/workflow/client\'': 'needs the package; test/browser/ai-sdk.test.ts runs it',
  'docs/how-to/use-mcp.md: claude mcp add --transport http jeesi http://localhost:3000/mcp --header "Authorization: Bearer jeesi_demo_key_for_local_use_only"': 'a program of the reader\'s; test/faces/mcp-how-to.test.ts connects as it says',
  'docs/how-to/use-mcp.md: {': 'files of the reader\'s programs; test/faces/mcp-how-to.test.ts connects as they say',
  'docs/how-to/use-mcp.md: { "mcpServers": { "jeesi": { "url": "http://localhost:3000/mcp", "headers": { "Authorization": "Bearer jeesi_demo_key_for_local_use_only" } } } }': 'the same',
  'docs/how-to/use-mcp.md: { "servers": { "jeesi": { "type": "http", "url": "http://localhost:3000/mcp", "headers": { "Authorization": "Bearer jeesi_demo_key_for_local_use_only" } } } }': 'the same',
  'docs/how-to/use-mcp.md: import { Client, StreamableHTTPClientTransport } from \'@modelcontextprotocol/client\'': 'needs the package; test/faces/mcp-how-to.test.ts runs it',
  'docs/how-to/watch.md: rule_files: [alerts.yml]': 'a file of Prometheus\'s; test/metrics/prometheus.test.ts has it checked by promtool',
  'docs/how-to/watch.md: scrape_configs:': 'the same',
  'docs/reference/http.md: const { ticket } = await (await fetch(\'/api/tickets\', { method: \'POST\', headers, body: JSON.stringify({ runId }) })).json()': 'a page of the reader\'s; test/routes/tickets.test.ts does this',
  'docs/how-to/run-one-test.md: node --import tsx --inspect-brk test/lib/slots.test.ts': 'waits for a debugger'
}

const EXECUTED = new Set(['js run', 'js client', 'python client', 'html browser', 'python agent', 'python tool', 'sh tutorial', 'sql'])

const fences = readDocuments().flatMap(({ fences }) => fences)

t.test('every example is of a kind that is tested, or is listed with the reason why not', async t => {
  const left = new Set(Object.keys(NOT_TESTED))
  for (const fence of fences) {
    const { file, line, language, words, text } = fence
    if (words.includes('no-test')) {
      const key = `${file}: ${text.split('\n')[0]}`
      left.delete(key)
      t.ok(key in NOT_TESTED, `line ${line} of ${file} is listed: ${key}`)
    } else {
      t.ok(kindOf(fence) !== undefined || checkOf(fence), `line ${line} of ${file}: ${[language, ...words].join(' ')}`)
    }
  }
  t.strictSame([...left], [], 'what is listed is there')
})

for (const fence of fences.filter(({ words }) => !words.includes('no-test'))) {
  const check = checkOf(fence)
  if (check) t.test(`the example in line ${fence.line} of ${fence.file} is valid`, async t => check(t, fence))
}

/** What the tests that execute examples call it; undefined: it is not executed. */
function kindOf ({ language, words, text }: Fence): string | undefined {
  const kind = [language, words[0]?.split('=')[0]].filter(Boolean).join(' ')
  if (EXECUTED.has(kind)) return kind
  return kind === 'sh' && commandsIn(text).some(command => /\bcurl\b/.test(command)) ? 'curl' : undefined
}

function checkOf (fence: Fence): ((t: Tap, fence: Fence) => void) | undefined {
  const kind = [fence.language, ...fence.words].join(' ')
  if (kind === 'sh' && kindOf(fence) === undefined) return checkCommands
  if (kind === 'env') return checkEnvironment
  if (kind === 'text sse') return checkStream
  if (kind === 'text websocket') return checkSocketExchange
  if (kind === 'mermaid') return checkPicture
  if (fence.language === 'json' && fence.words.length === 1) return checkJson
}

type Tap = Parameters<typeof checkJson>[0]
