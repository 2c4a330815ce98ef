// The API's slots of five minutes, as wide as the plot has room for.

const WIDTHS = [5, 10, 15, 30, 60, 120, 240]; // minutes of a slot; the API's are of 5
const LEAST_PIXELS = 4; // of a slot

/** Entries that are in FHIR or recorded as failed; one that is carried counts in the tick that ends it. */
export const ended = ({ written, unchanged, failed }) => written + unchanged + failed;

/**
 * API slots gathered into wider ones, as many as have room in `width` pixels up to `now` (seconds since 1970).
 * Lags are the largest of a slot, entries are per minute. A slot without a tick stays null: a gap in the plot.
 */
export function gathered(given, span, now, width) {
  const minutes = WIDTHS.find((one) => ((span * 60) / one) * LEAST_PIXELS <= width) ?? WIDTHS.at(-1);
  const step = minutes * 60;
  const first = Math.floor((now - span * 3600) / step) * step;
  const x = Array.from({ length: Math.floor((now - first) / step) + 1 }, (_, index) => first + index * step);
  const empty = () => x.map(() => null);
  const columns = { minutes, x, lagSeconds: empty(), lagEntries: empty(), entries: empty(), failed: empty() };
  for (const slot of given) {
    const index = Math.floor((Date.parse(slot.start) / 1000 - first) / step);
    if (!(index in x)) continue;
    for (const name of ["lagSeconds", "lagEntries"]) {
      if (slot[name] != null) columns[name][index] = Math.max(columns[name][index] ?? 0, slot[name]);
    }
    if (slot.ticks == null) continue; // the lag of this moment alone
    columns.entries[index] = (columns.entries[index] ?? 0) + ended(slot) / minutes;
    columns.failed[index] = (columns.failed[index] ?? 0) + slot.failed / minutes;
  }
  return columns;
}
