/**
 * The one of `names` that `word` was probably meant to be, or undefined when nothing is near.
 * Case and up to two typing errors are forgiven, in short words one.
 */
export function nearMiss(word: string, names: readonly string[]): string | undefined {
  const allowed = word.length < 5 ? 1 : 2;
  const wanted = word.toLowerCase();
  let best: string | undefined;
  let bestDistance = allowed + 1;
  for (const name of names) {
    if (Math.abs(name.length - word.length) > allowed) continue;
    const distance = editDistance(wanted, name.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [name, distance];
  }
  return best;
}

/** ` (did you mean "x"?)` when one of `names` is near, else nothing. */
export function didYouMean(word: string, names: readonly string[]): string {
  const near = nearMiss(word, names);
  return near === undefined ? "" : ` (did you mean "${near}"?)`;
}

/** Levenshtein's distance: insertions, deletions and replacements, each one step. */
function editDistance(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const current = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (previous[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      current.push(Math.min(replaced, (previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[to.length] ?? 0;
}
