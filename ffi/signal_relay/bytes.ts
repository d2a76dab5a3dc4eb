// Made by scripts/stub.ts from x86_64.S and aarch64.S: do not edit.

/** The signal handler's code for each architecture, in hexadecimal. */
export const SIGNAL_RELAY: Readonly<Record<"x86_64" | "aarch64", string>> = {
  // 39 bytes
  x86_64: "89fe8b3df8ff000031d24531d2b8a80100000f05c30000000000000000000000b80f0000000f05",
  // 40 bytes
  aarch64: "e103002ae0ff0718020080d2030080d2083580d2010000d4c0035fd600000000681180d2010000d4",
};
