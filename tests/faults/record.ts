/** The mark of a line that the sweep reads, beside whatever commands and programs print (RFC 7464). */
export const RECORD = "\x1e";
