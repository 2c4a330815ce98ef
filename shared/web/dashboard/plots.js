// Plots over time, drawn by uPlot (the global `uPlot`). The page goes on without them: the same is said in words beside.

import { day, hourMinute } from "./format.js";

const HEIGHT = 190;

/** Colours are read at each drawing: they follow the colour scheme. */
const colour = (name) => () => getComputedStyle(document.documentElement).getPropertyValue(name);

/** From zero, with room above; `least` keeps noise near zero from filling the plot. */
export const fromZero = (least) => ({ range: (_, __, max) => [0, Math.max(least, (max ?? 0) * 1.1)] });

export const line = (ink, scale, more = {}) => ({ stroke: colour(ink), width: 2, scale, points: { show: true, size: 4, fill: colour(ink), filter: alone }, ...more });

export const bars = (ink) => ({
  stroke: colour(ink), fill: colour(ink), width: 0, scale: "y", points: { show: false }, paths: window.uPlot?.paths.bars({ size: [0.8, 24], align: 1 }),
});

export const axis = (more) => ({
  stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, size: 54, ...more,
});

export class Plot {
  #container;
  #plot = null;
  #span = [0, 1];
  #bands = [];

  /** `readout` takes the index of the slot below the pointer, null where there is none. */
  constructor(container, { series, scales, axes, readout }) {
    this.#container = container;
    if (!window.uPlot) return;
    const say = (plot) => readout(plot.cursor.idx ?? null);
    this.#plot = new window.uPlot({
      width: this.width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      scales: { x: { time: true, range: () => this.#span }, ...scales },
      series: [{}, ...series],
      axes: [axis({ size: 34, space: 64, values: (_, times) => times.map((at, index) => timeLabel(at, times[index - 1])) }), ...axes],
      hooks: { drawClear: [(plot) => this.#drawBands(plot)], setCursor: [say], setData: [say] },
    }, [[], ...series.map(() => [])], container);
    new ResizeObserver(() => this.#resize()).observe(container);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#plot.redraw(false, true));
  }

  /** CSS pixels that there are for the whole plot. */
  get width() {
    return Math.max(200, this.#container.clientWidth);
  }

  /** `columns`: x in seconds since 1970, then one per series; `span` is what the x axis shows; `bands` lie behind. */
  show(columns, span, bands) {
    [this.#span, this.#bands] = [span, bands];
    this.#plot?.setData(columns);
  }

  #drawBands(plot) {
    const { left, top, width, height } = plot.bbox;
    const at = (seconds) => Math.min(left + width, Math.max(left, plot.valToPos(seconds, "x", true)));
    plot.ctx.save();
    plot.ctx.globalAlpha = 0.25;
    for (const { from, to, kind } of this.#bands.filter((band) => band.to > this.#span[0])) {
      plot.ctx.fillStyle = colour(`--band-${kind}`)();
      plot.ctx.fillRect(at(from), top, Math.max(2, at(to) - at(from)), height);
    }
    plot.ctx.restore();
  }

  #resize() {
    if (this.#container.clientWidth && this.#plot.width !== this.width) this.#plot.setSize({ width: this.width, height: HEIGHT });
  }
}

/** The points that no line reaches: those between two gaps. */
function alone(plot, series) {
  const values = plot.data[series];
  return values.flatMap((value, index) => (value != null && values[index - 1] == null && values[index + 1] == null ? [index] : []));
}

function timeLabel(at, before) {
  const date = new Date(at * 1000);
  const isNewDay = before === undefined ? hourMinute(date) === "00:00" : day(date) !== day(new Date(before * 1000));
  return isNewDay ? day(date) : hourMinute(date);
}
