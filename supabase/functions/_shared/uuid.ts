/** The source of a regular expression for a uuid, for use within longer ones; match it case-insensitively. */
export const UUID_PATTERN = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'

/** A uuid as PostgreSQL prints it. The prefix `urn:uuid:` of RFC 4122 is not accepted. */
export const UUID = new RegExp(`^${UUID_PATTERN}$`, 'i')
