"""Draws docs/images/benchmarks.svg from the figures that stand on stdin; run by .venv-bench."""

import json
import sys

import matplotlib as mpl
from matplotlib import pyplot as plt

COLOURS = {"app": "#1f6feb", "reference": "#bf8700"}


def draw_throughput(axes, bars):
    """One group per work and latency; `bars`: label, app, reference in entries/s."""
    places = range(len(bars))
    for offset, who in ((-0.2, "app"), (0.2, "reference")):
        heights = [bar[who] for bar in bars]
        axes.barh([place + offset for place in places], heights, 0.38, label=who, color=COLOURS[who])
    axes.set_yticks(list(places), [bar["label"] for bar in bars])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("entries/s (log)")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
    axes.grid(axis="x", alpha=0.3)


def draw_growth(axes, growth):
    """What a batch of the large study costs, by whom."""
    batches = range(1, len(growth["own"]) + 1)
    axes.stackplot(batches, growth["own"], growth["wire"], growth["server"], labels=["own", "wire", "FHIR server"])
    axes.set_xlabel("batch of the large study")
    axes.set_ylabel("CPU µs per entry")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)


def main():
    figures = json.load(sys.stdin)
    plt.switch_backend("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9})
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 7), width_ratios=(3, 2), layout="constrained")
    draw_throughput(left, figures["throughput"])
    draw_growth(right, figures["growth"])
    figure.savefig(sys.argv[1], metadata={"Date": None})


if __name__ == "__main__":
    main()
