import type { Remote } from "../../ffi/remote.ts";

/** A stub of which some methods are other ones. */
export function changed(stub: Remote, changes: Partial<Remote>): Remote {
  return new Proxy(stub, {
    get(target, name) {
      const value = Reflect.get(changes, name) ?? Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value; // private fields are the stub's own
    },
  });
}
