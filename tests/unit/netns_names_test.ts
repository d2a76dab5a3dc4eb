import { assertEquals, assertThrows } from "@std/assert";
import { CommandError } from "../../runtime/cli/command_error.ts";
import { countedNames, netnsName } from "../../runtime/netns/netns_name.ts";
import { parseCidr, parseVeth } from "../../runtime/netns/veth.ts";

Deno.test("netnsName() takes every name of a file, and nothing else", () => {
  for (const name of ["a", "-x", "a b", "...", "ü", "x".repeat(255)]) {
    assertEquals(netnsName(name), name);
  }
  for (
    const name of ["", ".", "..", "a/b", "/", "a\0", "x".repeat(256), "ü".repeat(128), "\ufffd"]
  ) {
    assertThrows(() => netnsName(name), CommandError, "invalid name of a network namespace");
  }
});

Deno.test("countedNames() numbers from 1, and checks the longest", () => {
  assertEquals(countedNames("a", undefined), ["a"]);
  assertEquals(countedNames("a", 3), ["a1", "a2", "a3"]);
  assertThrows(() => countedNames("x".repeat(254), 10), CommandError, "longer than 255 bytes");
});

Deno.test("parseVeth() takes one name or two, as the kernel takes them", () => {
  assertEquals(parseVeth("web0"), { host: "web0", inside: "eth0" });
  assertEquals(parseVeth("web0:lan"), { host: "web0", inside: "lan" });
  for (const text of ["", ":", "a:", ":a", "a:b:c", "a b", "a/b", ".", "..", "x".repeat(16)]) {
    assertThrows(() => parseVeth(text), CommandError, "--veth: ");
  }
});

Deno.test("parseCidr() takes an address with its prefix, of either family", () => {
  assertEquals(parseCidr("--address", "10.0.0.1/8"), { address: "10.0.0.1", prefix: 8 });
  assertEquals(parseCidr("--address", "fd00::1/128"), { address: "fd00::1", prefix: 128 });
  for (
    const text of ["", "10.0.0.1", "10.0.0.1/", "10.0.0.1/33", "fd00::1/129", "x/8", "10.0.0.256/8"]
  ) {
    assertThrows(() => parseCidr("--address", text), CommandError, "--address: ");
  }
});
