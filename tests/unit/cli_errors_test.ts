import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { CommandError } from "../../runtime/cli/command_error.ts";
import { CONTAINER_ID_MAX_LENGTH, containerId } from "../../runtime/cli/container_id.ts";
import { describeError, describeStack } from "../../runtime/cli/describe_error.ts";

Deno.test("containerId() returns what may name a container", () => {
  for (const id of ["a", "A_1+b.c-d", "...", "-", "x".repeat(CONTAINER_ID_MAX_LENGTH), "true"]) {
    assertEquals(containerId(id), id);
  }
});

Deno.test("containerId() throws runc's words for what may not", () => {
  const longer = "x".repeat(CONTAINER_ID_MAX_LENGTH + 1);
  for (const id of ["", ".", "..", "a/b", "a b", "é", "a\n", "a\0", longer, "../x", "$(x)"]) {
    assertThrows(() => containerId(id), CommandError, "invalid container ID format: ");
  }
});

Deno.test("describeError() joins the causes", () => {
  const error = new CommandError("belay create failed", {
    cause: new CommandError("unable to start container process", {
      cause: new Error("exec /bin/x: ENOENT (No such file or directory)"),
    }),
  });
  assertEquals(
    describeError(error),
    "belay create failed: unable to start container process: " +
      "exec /bin/x: ENOENT (No such file or directory)",
  );
});

Deno.test("describeError() leaves out a cause that is already told", () => {
  const cause = new Error("no such file");
  assertEquals(
    describeError(new CommandError("reading x: no such file", { cause })),
    "reading x: no such file",
  );
});

Deno.test("describeError() names what is belay's own fault", () => {
  assertEquals(
    describeError(new TypeError("x is not a function")),
    internal("x is not a function"),
  );
  assertEquals(
    describeError(new CommandError("belay run failed", { cause: new TypeError("oops") })),
    `belay run failed: ${internal("oops")}`,
  );
  assertEquals(describeError("thrown text"), "internal error: thrown text");
});

function internal(message: string): string {
  return `internal error: TypeError: ${message}`;
}

Deno.test("describeError() and describeStack() end when an error is its own cause", () => {
  const error = new CommandError("round");
  error.cause = error;
  assertEquals(describeError(error), "round");
  assertStringIncludes(describeStack(error), "CommandError: round");
});
