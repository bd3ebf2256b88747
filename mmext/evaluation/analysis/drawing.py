"""Pictures and tables of error types, curves, and classes by frequency."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .curves import Curve
from .errors import KINDS, ErrorReport

COLOURS = ('#4269d0', '#efb118', '#ff725c', '#6cc5b0', '#3ca951', '#a463f2')
_MANY = 12  # more curves than this in one picture could not be told apart


def error_table(report: ErrorReport, names: Sequence[str]) -> list[list[str]]:
    """Rows of text: a header, each class that has errors, their sum, and what each kind costs."""
    rows = [['class', *KINDS, 'sum']]
    for name, counts in zip(names, report.counts):
        if counts.any():
            rows.append([name, *map(str, counts.tolist()), str(counts.sum())])
    total = report.counts.sum(axis=0)
    rows.append(['all', *map(str, total.tolist()), str(total.sum())])
    rows.append(['AP lost', *(f'{value:.3f}' for value in report.gain), ''])
    return rows


def draw_errors(report: ErrorReport, path: Path) -> None:
    """Two bars for each kind of error: the AP that it costs, and how many there are.

    Args:
        path: Image file to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), dpi=150, layout='constrained')
    places = np.arange(len(KINDS))[::-1]
    counts = report.counts.sum(axis=0)
    for axes, values, title, form in (
            (figure.add_subplot(1, 2, 1), report.gain, f'AP lost (AP is {report.ap:.3f})', '{:.3f}'),
            (figure.add_subplot(1, 2, 2), counts, 'errors', '{:,}')):
        bars = axes.barh(places, values, color=COLOURS)
        axes.bar_label(bars, [form.format(value) for value in values.tolist()], padding=3, fontsize=8)
        axes.set_yticks(places, KINDS)
        axes.set_title(title, fontsize=10)
        axes.set_xlim(0, max(float(np.max(values)), 1e-3) * 1.2)
        axes.spines[['top', 'right']].set_visible(False)
    figure.savefig(path)


def draw_curves(curves: Sequence[Curve], names: Sequence[str], path: Path) -> None:
    """Precision against recall of each class that has objects; of many, the most frequent by name.

    Precision is the best at that recall or a higher one, of which AP is the average.

    Args:
        path: Image file to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), dpi=150, layout='constrained')
    axes = figure.add_subplot()
    there = sorted((i for i, one in enumerate(curves) if one.objects), key=lambda i: -curves[i].objects)
    for rank, i in enumerate(there):
        one = curves[i]
        best = np.maximum.accumulate(one.precision[::-1])[::-1]
        recall = np.concatenate([[0], one.recall, one.recall[-1:]])
        precision = np.concatenate([best[:1], best, [0]]) if len(best) else np.zeros(1)
        if rank < _MANY:
            axes.step(recall, precision, where='pre', label=f'{names[i]} {one.ap:.3f}', linewidth=1.4,
                      color=f'C{rank}' if rank < 10 else ('black', 'gold')[rank - 10])
        else:
            axes.step(recall, precision, where='pre', color='0.85', linewidth=0.6, zorder=0)
    axes.set(xlabel='recall', ylabel='precision', xlim=(0, 1), ylim=(0, 1.02))
    axes.spines[['top', 'right']].set_visible(False)
    if there:
        axes.legend(fontsize=7, title='AP', loc='center left', bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(path)


def draw_by_instances(curves: Sequence[Curve], names: Sequence[str], path: Path) -> None:
    """AP of each class against its number of objects, on a logarithmic scale.

    Args:
        path: Image file to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), dpi=150, layout='constrained')
    axes = figure.add_subplot()
    for one, name in zip(curves, names):
        if one.objects:
            axes.plot(one.objects, one.ap, 'o', color=COLOURS[0], markersize=4)
            axes.annotate(name, (one.objects, one.ap), textcoords='offset points', xytext=(4, 3), fontsize=6)
    axes.set_xscale('log', base=2)
    axes.xaxis.set_major_formatter('{x:,.0f}')
    axes.set(xlabel='objects', ylabel='AP', ylim=(-0.02, 1.05))
    axes.spines[['top', 'right']].set_visible(False)
    figure.savefig(path)
