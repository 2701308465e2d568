/** Addresses of images that a gateway can load without reaching into its own files. */
export const IMAGE_URL = /^(https?:\/\/|data:)/i
