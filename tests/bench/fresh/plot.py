"""Draws docs/images/freshness.svg from the shares that stand on stdin; run by .venv-bench."""

import json
import sys

import matplotlib as mpl
from matplotlib import pyplot as plt

MET, MISSED = "#1f6feb", "#bf8700"


def main():
    shares = json.load(sys.stdin)
    plt.switch_backend("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "fresh", "font.size": 9})
    figure, axes = plt.subplots(figsize=(10, 0.28 * len(shares) + 1), layout="constrained")
    colours = [MET if one["share"] <= 1 else MISSED for one in shares]
    axes.barh([one["label"] for one in shares], [one["share"] for one in shares], 0.6, color=colours)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("share of the bar (log); up to 1 it is met")
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(sys.argv[1], metadata={"Date": None})


if __name__ == "__main__":
    main()
