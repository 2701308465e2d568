/** Functions are optimized only after fifteen times as much use. Node 24 has no such option. */
const LATER = Number(process.versions.node.split('.')[0]) < 22 ? ['--interrupt-budget=1000000'] : []

/**
 * For processes that live for seconds, as nearly all of the tests do: the embedded database, which is WebAssembly, is not
 * compiled a second time to run faster.
 */
export const SHORT_LIVED = ['--liftoff-only', ...LATER]
