"""The page that a test leaves in its work directory: figures, classes, pictures, where all is."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..apis.writers import replacing
from .figures import figures
from .gallery import Gallery
from .record import Picture, Record
from .rendering import differences, link, render

REPORT = 'report.html'


def write_report(folder: Path, record: Record, gallery: Gallery, store: str = '') -> tuple[Path, Record]:
    """Draw what there is time for and write ``report.html``.

    Args:
        folder: The run's work directory.
        record: Without pictures.
        gallery: The images to choose from.
        store: Where the record is kept, or empty.

    Returns:
        The page, and the record with the pictures.
    """
    import dataclasses
    budget = gallery.budget
    pictures = tuple(gallery.pictures())
    record = dataclasses.replace(record, pictures=pictures)
    page = folder / REPORT
    with budget.spending(), replacing(page) as temporary:
        temporary.write_text(_page(page, record, gallery, pictures, store), encoding='utf-8')
    return page, record


def _page(page: Path, record: Record, gallery: Gallery, pictures: Sequence[Picture], store: str) -> str:
    known = figures(record.metrics)
    rows = []
    for (task, metric), value in known.items():
        published = next((one for one in record.published
                          if (one['task'], one['metric']) == (task, metric)), None)
        rows.append(dict(task=task, metric=metric, value=value, published=published,
                         **(differences(published, value) if published else {})))
    columns = list(dict.fromkeys(key for row in record.per_class for key in row if key != 'class'))
    files: list[dict[str, Any]] = [
        dict(name='config', text=record.config, link=link(record.config, page), digest=record.config_digest),
        dict(name='checkpoint', text=record.checkpoint or 'none: untrained',
             link=link(record.checkpoint, page), digest=record.checkpoint_digest),
        dict(name='work directory', text=record.work_dir, link=link(record.work_dir, page), digest=''),
        dict(name='leaderboard', text=store or 'not recorded', link='', digest='')]
    return render('report.html.j2', record=record, figures=rows, columns=columns, files=files,
                  worst=[one for one in pictures if not one.best],
                  best=[one for one in pictures if one.best], seen=gallery.seen, judged=gallery.judged)
