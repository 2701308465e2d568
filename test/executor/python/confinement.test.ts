import { execFile } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { describeConfinement, probeConfinement, PYTHON_FOLDER } from '../../../src/executor/python/confinement.js'
import { startService } from '../../support/helper.js'
import { LOOK_MS } from '../../support/until.js'
import { createFolder, findPython } from '../../support/python.js'

const WITHOUT_LANDLOCK = fileURLToPath(new URL('../../support/python/without_landlock.py', import.meta.url))
const SYSTEM_PYTHON = '/usr/bin/python3'
const NOBODY = 65534
/** What the service does, in a process of its own. */
const PROBE = `require('node:child_process').execFile(process.argv[1], ['-s', '-m', 'jeesi_worker.probe'],
  { cwd: process.argv[2], env: { PATH: '/usr/bin:/bin' } }, (error, stdout, stderr) => process.stdout.write(stdout + stderr))`

t.test('a description names each restriction once, and counts one that was not tried as missing', async t => {
  const whole = describeConfinement({ bounds: true, environment: true, signals: true })
  t.same([whole.inForce.length, whole.missing], [3, []])
  t.match(describeConfinement({ bounds: true, environment: false, signals: true }), {
    inForce: ['memory and processes are bounded by worker', 'they can signal no other process'],
    missing: ['they can read the environment of this service, and with it its secrets']
  })
  t.same(describeConfinement(undefined).inForce, [])
  t.equal(describeConfinement(undefined).missing.length, 3)
})

t.test('a probe that does not work is no confinement', async t => {
  const broken = join(await createFolder(t), 'python')
  writeFileSync(broken, '#!/bin/sh\necho hello\n', { mode: 0o755 })
  t.equal(await probeConfinement(broken, {}), undefined)
  t.equal(await probeConfinement('/nonexistent', {}), undefined)
})

t.test('the start says what is in force', async t => {
  const python = await findPython(t)
  if (!python) return
  const confinement = await probeConfinement(python, { PATH: process.env.PATH! })
  const { missing } = describeConfinement(confinement)
  const line = await startLine(t, python)
  t.match(line, { level: missing.length ? 'warn' : 'info', missing, inForce: describeConfinement(confinement).inForce })
})

t.test('the start says in one line at warn what is not in force', async t => {
  const python = await findPython(t)
  if (!python) return
  const wrapper = join(await createFolder(t), 'python')
  // It passes for the interpreter, and finds out what a machine without any restriction finds.
  writeFileSync(wrapper, `#!/bin/sh
case "$*" in
  *jeesi_worker.probe*) echo '{"bounds": false, "environment": false, "signals": false}' ;;
  *) echo "$0"; echo 3.11 ;;
esac
`, { mode: 0o755 })
  t.match(await startLine(t, wrapper), {
    level: 'warn',
    inForce: [],
    message: 'agents in Python can be run, but on this machine memory and processes of what they start are not bounded; ' +
      'they can read the environment of this service, and with it its secrets; they can end other processes of this user'
  })
})

t.test('without Landlock the environment of the service', async t => {
  if (process.platform !== 'linux' || process.getuid!() !== 0 || !existsSync(SYSTEM_PYTHON)) {
    return t.comment('LEFT OUT: only root on Linux can start a service of another user')
  }

  t.test('is hidden from agents if root runs it: they have fewer capabilities', async t => {
    const [effective] = /(?<=CapEff:\s*)[0-9a-f]+/.exec(readFileSync('/proc/self/status', 'utf8'))!
    if (BigInt(`0x${effective}`) === 0n) return t.comment('LEFT OUT: root has no capabilities here')
    t.match(await probeAs(0, process.execPath), { environment: true, signals: false })
  })

  t.test('is hidden if its user may not read the interpreter of JavaScript, as in the image', async t => {
    const folder = await createFolder(t)
    const node = join(folder, 'node')
    chmodSync(folder, 0o711)
    copyFileSync(process.execPath, node)
    chmodSync(node, 0o755)
    const readable = await probeAs(NOBODY, node)
    if (!readable) return t.comment('LEFT OUT: other users cannot read this folder')
    t.match(readable, { environment: false }, 'which the start says')
    chmodSync(node, 0o711)
    t.match(await probeAs(NOBODY, node), { environment: true })
  })
})

t.test('in the image its user may not read the interpreter of JavaScript', async t => {
  const dockerfile = readFileSync(new URL('../../../Dockerfile', import.meta.url), 'utf8')
  t.match(dockerfile.split('USER node')[0], /^RUN chmod 711 \/usr\/local\/bin\/node$/m)
})

/** Probes from a service of a user, on a kernel without Landlock. @returns undefined if the user cannot run the probe. */
function probeAs (uid: number, node: string): Promise<object | undefined> {
  const args = [WITHOUT_LANDLOCK, `${uid}`, node, '-e', PROBE, SYSTEM_PYTHON, PYTHON_FOLDER]
  return new Promise((resolve, reject) => {
    execFile(SYSTEM_PYTHON, args, { cwd: '/', env: { PATH: '/usr/bin:/bin' } }, (error, stdout) => {
      if (error) reject(error)
      else resolve(stdout.startsWith('{') ? JSON.parse(stdout) : undefined)
    })
  })
}

/** The line of a service's start that says whether agents in Python can be run. */
async function startLine (t: Test, python: string): Promise<object> {
  const service = await startService(t, { PYTHON_BIN: python })
  for (;;) {
    const line = service.logs.find(line => line.includes('agents in Python can'))
    if (line) return JSON.parse(line)
    await delay(LOOK_MS)
  }
}
