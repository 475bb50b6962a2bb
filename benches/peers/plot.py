"""Draws benches/results.png from the table in benches/RESULTS.md.

    pip install matplotlib
    python benches/peers/plot.py
"""

import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

BENCHES = Path(__file__).resolve().parents[1]
# Okabe and Ito's colours, which colour-blind people tell apart.
SHOWN = {
    "burn-decay, flex": "#d55e00",
    "Burn's own, flex": "#0072b2",
    "PyTorch fused": "#009e73",
    "DeepSpeed CPUAdam": "#cc79a7",
    "a bare loop": "#999999",
}


def read():
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (BENCHES / "RESULTS.md").read_text().splitlines()
        if line.startswith("|") and "---" not in line
    ]
    sizes = rows[0][1:]
    ratio = re.compile(r"= ([\d.]+)×")
    numbers = {row[0]: [ratio.search(cell) for cell in row[1:]] for row in rows[1:]}
    return sizes, {
        name: [float(found.group(1)) if found else None for found in cells]
        for name, cells in numbers.items()
    }


def main():
    sizes, ratios = read()
    figure, axes = plt.subplots(figsize=(9, 4), dpi=130)
    width = 0.8 / len(SHOWN)
    for i, (name, colour) in enumerate(SHOWN.items()):
        values = ratios.get(name, [None] * len(sizes))
        places = [j + (i - (len(SHOWN) - 1) / 2) * width for j in range(len(sizes))]
        bars = [(place, value) for place, value in zip(places, values) if value is not None]
        drawn = axes.bar(*zip(*bars), width, label=name, color=colour) if bars else []
        for bar, (_, value) in zip(drawn, bars):
            axes.annotate(
                f"{value:.1f}",
                (bar.get_x() + bar.get_width() / 2, value),
                ha="center",
                va="bottom",
                fontsize=8,
            )
    axes.set_xticks(range(len(sizes)), [f"{size} parameters" for size in sizes])
    axes.set_ylabel("time of a step, burn-decay's = 1")
    axes.set_title("One AdamW step on the CPU: lower is faster")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=len(SHOWN), loc="upper center", bbox_to_anchor=(0.5, -0.08))
    figure.tight_layout()
    figure.savefig(BENCHES / "results.png")


main()
