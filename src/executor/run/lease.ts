/** How long, in seconds, a run stays with a process that says nothing: after a crash nobody goes on with it sooner. */
export const LEASE_SECONDS = 6
