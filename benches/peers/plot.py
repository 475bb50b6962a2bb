"""Draws benches/results.png from benches/RESULTS.md: a panel for each processor.

    pip install matplotlib
    python benches/peers/plot.py
"""

import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import Patch

BENCHES = Path(__file__).resolve().parents[1]
# Okabe and Ito's colours, which colour-blind people tell apart.
SHOWN = {
    "burn-decay, flex": "#d55e00",
    "Burn's own, flex": "#0072b2",
    "PyTorch fused": "#009e73",
    "DeepSpeed CPUAdam": "#cc79a7",
    "the same memory, additions only": "#999999",
}
OURS = "burn-decay, flex"
CELL = re.compile(r"([\d.]+) \(([\d.]+)–([\d.]+)\)")


def tables():
    """Of each processor its name, the columns, and the cells of each contender by its name."""
    cpu, _, _ = (BENCHES / "RESULTS.md").read_text().partition("\n# One AdamW step on a GPU\n")
    for section in cpu.split("\n## ")[1:]:
        lines = section.splitlines()
        if lines[0].endswith("in fewer bytes"):
            continue
        rows = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in lines
            if line.startswith("|")
        ]
        yield lines[0], rows[0][1:], {row[0]: row[1:] for row in rows[2:]}


def draw(axes, processor, columns, cells):
    """A group of bars for each column, a bar for each contender, and its spread as a line."""
    width = 0.84 / len(SHOWN)
    for i, (name, colour) in enumerate(SHOWN.items()):
        for column, (cell, ours) in enumerate(zip(cells[name], cells[OURS])):
            # A contender that was missing has a text in its cells.
            if not (found := CELL.match(cell)):
                continue
            unit = float(CELL.match(ours).group(1))
            median, least, most = (float(time) / unit for time in found.groups())
            place = column + (i - (len(SHOWN) - 1) / 2) * width
            axes.bar(place, median, 0.94 * width, color=colour)
            axes.vlines(place, least, most, color="#222222", linewidth=0.8)
            verdict = "=" if cell.endswith("equal") else f"{median:.1f}"
            axes.annotate(
                verdict,
                (place, max(most, median)),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
    axes.axhline(1, color=SHOWN[OURS], linewidth=0.8, alpha=0.4, zorder=0)
    axes.set_xticks(range(len(columns)), [column.replace(", ", "\n") for column in columns])
    axes.set_title(processor, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def main():
    found = list(tables())
    figure, panels = plt.subplots(
        len(found),
        figsize=(10, 1 + 3.2 * len(found)),
        dpi=130,
        squeeze=False,
        layout="constrained",
    )
    for axes, table in zip(panels.flat, found):
        draw(axes, *table)
    figure.suptitle(
        "One AdamW step on the CPU: lower is faster\n"
        "median, and least to most; = where this overlaps with burn-decay's",
        fontsize=11,
    )
    figure.supylabel("time of a step, burn-decay's = 1", fontsize=10)
    figure.legend(
        handles=[Patch(color=colour, label=name) for name, colour in SHOWN.items()],
        loc="outside lower center",
        ncols=len(SHOWN),
        fontsize=9,
        frameon=False,
    )
    figure.savefig(BENCHES / "results.png")


main()
