"""What the pages share: templates, style, pictures as data."""
from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

TEMPLATES = Path(__file__).parent / 'templates'


@lru_cache(maxsize=1)
def _environment() -> Any:
    import jinja2
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True,
                                     trim_blocks=True, lstrip_blocks=True,
                                     undefined=jinja2.StrictUndefined)
    environment.filters.update(number=number, count=short_count, jpeg=data_uri)
    return environment


def render(template: str, **values: Any) -> str:
    """A page with its style and script inside.

    Args:
        template: Name of a file in ``templates/``.
        values: For the template.
    """
    # marked as safe by the templates: these two are ours, everything else is escaped
    files = {name: (TEMPLATES / name).read_text(encoding='utf-8') for name in ('style.css', 'page.js')}
    return _environment().get_template(template).render(style=files['style.css'], script=files['page.js'],
                                                        **values)


def data_uri(jpeg: bytes) -> str:
    """A JPEG as an address that needs no file."""
    return f'data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}'


def number(value: Any, digits: int = 2) -> str:
    """A number for a table; an en dash for None, text as it is."""
    if value is None or value == '':
        return '–'
    return f'{value:.{digits}f}' if isinstance(value, float) else str(value)


def short_count(value: float | None) -> str:
    """1460844 as '1.46 M'; an en dash for None."""
    if value is None:
        return '–'
    for size, name in ((1e9, 'G'), (1e6, 'M'), (1e3, 'k')):
        if value >= size:
            return f'{value / size:.3g} {name}' if value < 1000 * size else f'{value / size:.0f} {name}'
    return str(value)


def link(target: str | Path, page: Path) -> str:
    """The address of a file from a page beside it or elsewhere; empty if the file is not there."""
    path = Path(target)
    if not str(target) or not path.exists():
        return ''
    return quote(os.path.relpath(path.resolve(), page.resolve().parent))


def differences(published: Mapping[str, Any], value: float | None) -> dict[str, Any]:
    """A reproduced figure beside the published one.

    Args:
        published: ``value`` and ``tolerance``.
        value: What was reproduced, in percent.

    Returns:
        ``difference``, None without a value, and ``verdict``: 'within', 'above' or 'below' the tolerance.
    """
    if value is None:
        return dict(difference=None, verdict='')
    difference = round(value - published['value'], 6)
    verdict = 'within' if abs(difference) <= published['tolerance'] + 1e-9 else \
        'above' if difference > 0 else 'below'
    return dict(difference=difference, verdict=verdict)
