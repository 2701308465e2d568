/** Runs a command. An error is one line on standard error, and exit code 1. */
export async function runCommand (command: () => Promise<void>): Promise<void> {
  try {
    await command()
  } catch (error) {
    const { message, errors } = error as AggregateError
    process.stderr.write(`${message || errors?.[0]?.message || String(error)}\n`)
    process.exitCode = 1
  }
}
