/**
 * For processes that live for seconds, as nearly all of the tests do: the embedded database, which is WebAssembly, is not
 * compiled a second time to run faster, and functions are only after fifteen times as much use.
 */
export const SHORT_LIVED = ['--liftoff-only', '--interrupt-budget=1000000']
