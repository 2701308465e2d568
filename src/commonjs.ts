import { createRequire } from 'node:module'

/**
 * Loads a package that is CommonJS and has large files. Of what is imported Node reads the whole text for the names that it
 * exports, and on one CPU that takes longer than loading it does.
 */
export const require = createRequire(import.meta.url)
