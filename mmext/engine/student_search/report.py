"""What a search leaves behind: a table, a picture and the config of its best student."""
from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...apis.writers import replacing
from .candidate import Candidate
from .space import SearchSpace

if TYPE_CHECKING:
    from mmengine.config import Config


def ranked(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Scored candidates, the best first; of equals the smaller."""
    return sorted((one for one in candidates if one.scored),
                  key=lambda one: (-one.value, one.params, one.genes))


def write_table(path: Path, space: SearchSpace, candidates: Sequence[Candidate]) -> None:
    """All scored candidates as CSV, the best first."""
    text = io.StringIO()
    writer = csv.writer(text)
    best = ranked(candidates)
    names = list(best[0].scores)
    writer.writerow(['rank', *names, 'parameters', 'flops', *space.fields])
    for rank, one in enumerate(best, 1):
        writer.writerow([rank, *(one.scores[name] for name in names), one.params, one.flops,
                         *space.describe(one.genes).values()])
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue())


def draw(path: Path, candidates: Sequence[Candidate], score: str, title: str) -> None:
    """Score against size, and the best score over the search.

    Args:
        path: Image file.
        candidates: In the order of the search.
        score: Name of the score on the axis.
        title: Above the picture.
    """
    from matplotlib.figure import Figure
    scored = [one for one in candidates if one.scored]
    best = ranked(candidates)[0]
    figure = Figure(figsize=(10, 4), dpi=150, layout='constrained')
    figure.suptitle(title)
    left, right = figure.subplots(1, 2, sharey=True)
    left.plot([one.params / 1e6 for one in scored], [one.value for one in scored], '.', color='0.5')
    left.plot(best.params / 1e6, best.value, 'o', mfc='none', mec='crimson', ms=11, label='best')
    left.set_xlabel('parameters, millions')
    left.set_ylabel(score)
    left.legend()
    highest: list[float] = []
    for one in scored:
        highest.append(max(one.value, *highest[-1:]) if highest else one.value)
    right.plot(range(1, len(scored) + 1), [one.value for one in scored], '.', color='0.7', ms=4,
               label='candidate')
    right.plot(range(1, len(scored) + 1), highest, color='crimson', label='best until then')
    right.set_xlabel('candidates scored')
    right.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary)


def write_student(path: Path, cfg: Config, best: Candidate, chosen: dict[str, Any]) -> None:
    """The config of the best student, ready to train; a comment says where it comes from.

    Args:
        path: Config file.
        cfg: The candidate's whole config; its ``search`` is left out.
        best: The candidate.
        chosen: Its choices by field.
    """
    from mmengine.config import Config
    scores = ', '.join(f'{name} {value:.4f}' for name, value in best.scores.items())
    lines = [f'# The best student of mmext search-student {cfg.filename}: {scores}.',
             f'# {best.params:,} parameters, {best.flops:,} FLOPs.',
             *(f'# {name} = {value!r}' for name, value in chosen.items()), '']
    content = {key: value for key, value in cfg.to_dict().items() if key not in ('search', 'work_dir')}
    with replacing(path) as temporary:
        temporary.write_text('\n'.join(lines) + Config(content).pretty_text)
