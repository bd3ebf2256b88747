"""Angles of rotated boxes: one convention in all parts of a model."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import nearest
from .problem import Problem

#: mmrotate's conventions, with the angle's range.
VERSIONS = {'oc': '(0, 90]', 'le90': '[-90, 90)', 'le135': '[-45, 135)'}


def check_angles(model: Any) -> Iterator[Problem]:
    """Report unknown conventions, and parts of ``model`` that use different ones."""
    found = [(path, value) for path, value in _versions('model', model) if isinstance(value, str)]
    for path, value in found:
        if value not in VERSIONS:
            near = nearest(value, VERSIONS, 1)
            known = ', '.join(f'{name} {bounds}' for name, bounds in VERSIONS.items())
            yield Problem(path, f"'{value}' is no range of angles",
                          suggestion=f"did you mean '{near[0]}'?" if near else f'expected {known}')
    used = list(dict.fromkeys(value for _, value in found if value in VERSIONS))
    if len(used) > 1:
        path, value = next(one for one in found if one[1] == used[1])
        other = next(one for one in found if one[1] == used[0])
        yield Problem(path, f"is '{value}' {VERSIONS[value]}, but {other[0]} is '{other[1]}' "
                      f'{VERSIONS[other[1]]}', suggestion='use one in the whole model')


def _versions(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (list, tuple)):
        for index, one in enumerate(value):
            yield from _versions(f'{path}.{index}', one)
    elif isinstance(value, Mapping):
        for key, child in value.items():
            if key == 'angle_version':
                yield f'{path}.{key}', child
            else:
                yield from _versions(f'{path}.{key}', child)
