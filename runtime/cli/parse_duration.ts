/** Milliseconds of Go's units of time (time.ParseDuration). */
const UNITS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  "µs": 1e-3,
  "μs": 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/**
 * A duration as Go programs take it: `5s`, `1m30s`, `1.5h`, `250ms`.
 * @returns Milliseconds; undefined for what is no duration. A bare `0` is one.
 */
export function parseDuration(text: string): number | undefined {
  if (text === "0") return 0;
  if (!/^(?:(?:\d{1,15}\.?\d{0,15}|\.\d{1,15})(?:ns|us|µs|μs|ms|s|m|h))+$/.test(text)) {
    return undefined;
  }
  let ms = 0;
  for (const [, number, unit = ""] of text.matchAll(/([\d.]+)([a-zµμ]+)/g)) {
    ms += Number(number) * (UNITS[unit] ?? NaN);
  }
  return ms;
}
