/**
 * Draws a trace (`belay --trace FILE …`) as an SVG: a row for each process, a bar for each system call.
 *
 * Usage: deno run -A scripts/trace_picture.ts trace.json > trace.svg
 */
import type { CallEvent, TraceFile } from "../runtime/trace/trace.ts";

const WIDTH = 1400;
const LEFT = 120;
const RIGHT = 30;
const TOP = 96;
const ROW = 118;
const BAR = { y: 52, height: 40 } as const;
/** No bar is narrower: a microsecond of 50 milliseconds would be a fortieth of a pixel. */
const LEAST_WIDTH = 1.4;

/** What a call has to do with, its colour, and the calls. */
const KINDS = [
  [
    "processes",
    "#d97706",
    /^(clone3|execve|exit|waitid|pidfd_|open_by_handle|name_to_handle|setsid)/,
  ],
  ["namespaces", "#7c3aed", /^(setns|unshare|sethostname|setdomainname)/],
  ["mounts", "#2563eb", /^(mount|umount|open_tree|move_mount|fsopen|fsconfig|fsmount|pivot_root)/],
  ["rights and limits", "#059669", /^(prctl|cap|setres|setgroups|prlimit|keyctl|umask|bpf)/],
  ["conversation", "#0891b2", /^(socket|send|recv|accept|connect|bind|listen|epoll|ppoll|eventfd)/],
  ["files", "#94a3b8", /./],
] as const;

/** Calls that have their name above the row. */
const LANDMARKS = new Set([
  ...["clone3", "pivot_root", "execve", "accept4", "sethostname", "fsmount", "capset", "setresuid"],
  ...["waitid", "name_to_handle_at", "open_by_handle_at", "setns", "unshare", "renameat2"],
]);

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}

function colour(name: string): string {
  return KINDS.find(([, , calls]) => calls.test(name))?.[1] ?? "#000";
}

/** A trace as an SVG document. */
export function tracePicture(trace: TraceFile): string {
  const calls = trace.traceEvents.filter((each): each is CallEvent => each.ph === "X");
  const names = new Map<number, string>();
  for (const event of trace.traceEvents) {
    if (event.ph === "M" && "name" in event.args) names.set(event.pid, event.args.name);
  }
  const start = calls[0]?.ts ?? 0;
  const end = Math.max(...calls.map((each) => each.ts + each.dur), start + 1);
  const x = (ts: number) => LEFT + ((ts - start) / (end - start)) * (WIDTH - LEFT - RIGHT);
  const pids = [...names.keys()];
  const height = TOP + pids.length * ROW + 44;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" ` +
    `font-family="DejaVu Sans, Verdana, sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" rx="8" fill="#ffffff"/>`,
    `<text x="24" y="34" font-size="19" font-weight="bold" fill="#0f172a">` +
    `${calls.length} system calls, ${((end - start) / 1000).toFixed(0)} ms under trace</text>`,
    ...legend(),
    ...axis((end - start) / 1000, (ms) => x(start + ms * 1000), height),
  ];
  pids.forEach((pid, index) => {
    const own = calls.filter((each) => each.pid === pid);
    parts.push(...row(names.get(pid) ?? "", own, TOP + index * ROW, x));
  });
  return `${parts.join("\n")}\n</svg>\n`;
}

function legend(): string[] {
  let x = 24;
  const parts = [
    ...KINDS.map(([kind, fill]) => [kind, fill] as const),
    [
      "failed",
      "#dc2626",
    ] as const,
  ].map(([kind, fill]) => {
    const part = `<rect x="${x}" y="52" width="12" height="12" rx="2" fill="${fill}"/>` +
      `<text x="${x + 18}" y="62" fill="#334155">${kind}</text>`;
    x += 44 + kind.length * 6.8;
    return part;
  });
  return parts;
}

/** Lines at round numbers of milliseconds. */
function axis(lengthMs: number, x: (ms: number) => number, height: number): string[] {
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100].find((each) => lengthMs / each <= 12) ??
    1000;
  const parts: string[] = [];
  for (let i = 0; i * step <= lengthMs; i++) {
    const at = x(i * step).toFixed(1);
    parts.push(
      `<line x1="${at}" y1="${TOP - 14}" x2="${at}" y2="${height - 34}" stroke="#e2e8f0"/>`,
      `<text x="${at}" y="${height - 16}" text-anchor="middle" fill="#64748b">` +
        `${Number((i * step).toFixed(1))}${i === 0 ? " ms" : ""}</text>`,
    );
  }
  return parts;
}

function row(
  name: string,
  calls: readonly CallEvent[],
  y: number,
  x: (ts: number) => number,
): string[] {
  const middle = y + BAR.y + BAR.height / 2;
  const [first, last] = [calls[0], calls.at(-1)];
  const parts = [
    `<text x="24" y="${middle - 2}" font-size="15" font-weight="bold" fill="#0f172a">${
      escape(name)
    }</text>`,
    `<text x="24" y="${middle + 15}" fill="#64748b">${calls.length} calls</text>`,
  ];
  if (first !== undefined && last !== undefined) {
    const [from, to] = [x(first.ts), x(last.ts + last.dur)];
    parts.push(
      `<rect x="${from.toFixed(1)}" y="${y + BAR.y}" width="${(to - from + 1).toFixed(1)}" ` +
        `height="${BAR.height}" rx="3" fill="#f1f5f9"/>`,
    );
  }
  for (const call of calls) {
    const failed = call.cname === "terrible" && typeof call.args.result === "string";
    const width = Math.max(x(call.ts + call.dur) - x(call.ts), LEAST_WIDTH);
    parts.push(
      `<rect x="${x(call.ts).toFixed(2)}" y="${y + BAR.y}" width="${width.toFixed(2)}" ` +
        `height="${BAR.height}" fill="${failed ? "#dc2626" : colour(call.name)}">` +
        `<title>${escape(call.args.call)} = ${escape(String(call.args.result))}</title></rect>`,
    );
  }
  return [...parts, ...landmarks(calls, y, x)];
}

/** Names above a row, on three levels, so that none lies on another; what finds no place has none. */
function landmarks(
  calls: readonly CallEvent[],
  y: number,
  x: (ts: number) => number,
): string[] {
  const levels = [0, 0, 0];
  const parts: string[] = [];
  for (const call of calls) {
    if (!LANDMARKS.has(call.name)) continue;
    const width = call.name.length * 7.2 + 8;
    const at = x(call.ts);
    const left = Math.min(at, WIDTH - width);
    const level = levels.findIndex((taken) => taken <= left);
    if (level < 0) continue;
    levels[level] = left + width;
    const text = y + 44 - level * 15;
    parts.push(
      `<line x1="${at.toFixed(1)}" y1="${text + 3}" x2="${at.toFixed(1)}" y2="${y + BAR.y}" ` +
        `stroke="${colour(call.name)}"/>`,
      `<text x="${left.toFixed(1)}" y="${text}" fill="${colour(call.name)}">${call.name}</text>`,
    );
  }
  return parts;
}

if (import.meta.main) {
  const [path] = Deno.args;
  if (path === undefined) {
    console.error("usage: deno run -A scripts/trace_picture.ts trace.json > trace.svg");
    Deno.exit(2);
  }
  console.log(tracePicture(JSON.parse(Deno.readTextFileSync(path))).trimEnd());
}
