/** How long, in seconds, a process owns its runs without a heartbeat; after a crash no other process claims them sooner. */
export const LEASE_SECONDS = 6
