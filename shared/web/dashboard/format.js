// Numbers, durations and times as people read them: English, local time.

const NUMBER = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 1 });
const BRIEF = new Intl.NumberFormat("en-GB", { notation: "compact" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DATE_TIME = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const HOUR_MINUTE = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short" });

/** The status counts at most this many open rows of a table. */
const MANY = 1000;

/** 1234.56 -> "1,234.6"; what is not known -> "unknown". */
export const number = (value) => (value == null ? "unknown" : NUMBER.format(value));

/** A number of the feed is a name: as it is typed and searched for, without separators. */
export const sequence = (value) => (value == null ? "unknown" : String(value));

/** 12500 -> "13K" */
export const brief = (value) => BRIEF.format(value);

export const count = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;

export const openRows = (value) => (value >= MANY ? `${number(MANY)} or more` : number(value));

/** Seconds -> "0.4 s", "12 s", "4 min 10 s", "3 h 5 min", "2 d 4 h". */
export function duration(seconds) {
  if (seconds == null) return "unknown";
  if (seconds < 60) return `${seconds < 10 ? NUMBER.format(seconds) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return pair(minutes, "min", Math.floor(seconds % 60), "s");
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? pair(hours, "h", minutes % 60, "min") : pair(Math.floor(hours / 24), "d", hours % 24, "h");
}

const pair = (large, unit, small, smallUnit) => `${large} ${unit}${small ? ` ${small} ${smallUnit}` : ""}`;

/** The time zone that all times are shown in: "Europe/Berlin, UTC+01:00". */
export function zone() {
  const offset = new Intl.DateTimeFormat("en-GB", { timeZoneName: "longOffset" }).formatToParts().find(({ type }) => type === "timeZoneName").value;
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return name === "UTC" ? name : `${name}, ${offset.replace("GMT", "UTC")}`;
}

export const clock = (date) => CLOCK.format(date);
export const dateTime = (date) => DATE_TIME.format(date);
export const hourMinute = (date) => HOUR_MINUTE.format(date);
export const day = (date) => DAY.format(date);
