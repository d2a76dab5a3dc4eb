/** A socket that a bus listens on: a file, or a name that no file has. */
export type BusSocket = { readonly path: string } | { readonly abstract: string };

/**
 * The first unix socket of a bus address (D-Bus specification, "Server Addresses"): `unix:path=/run/x;tcp:...`.
 * @returns Undefined when there is none, or it is not well-formed.
 */
export function parseBusAddress(address: string): BusSocket | undefined {
  for (const one of address.split(";")) {
    if (!one.startsWith("unix:")) continue;
    for (const pair of one.slice("unix:".length).split(",")) {
      const equals = pair.indexOf("=");
      const value = unescaped(pair.slice(equals + 1));
      if (value === undefined || value === "" || value.includes("\0")) continue;
      if (pair.slice(0, equals) === "path" && value.startsWith("/")) return { path: value };
      if (pair.slice(0, equals) === "abstract") return { abstract: value };
    }
  }
  return undefined;
}

/** `%2f` is a slash. */
function unescaped(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined; // a % that nothing follows
  }
}
