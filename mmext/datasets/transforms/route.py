"""Choice of a teacher together with the augmentation that belongs to it."""
from __future__ import annotations

from typing import Any

from mmcv.transforms import BaseTransform

from ...errors import UserError
from ...registry import TRANSFORMS


@TRANSFORMS.register_module()
class SetRoute(BaseTransform):
    """Write into a sample which teacher of a :class:`mmext.Distiller` it is for.

    Put it into the branches of the host's ``RandomChoice``, and ``'route'`` into the ``meta_keys`` of
    ``PackInputs``; :class:`mmext.SampleRouter` reads it.

    Added Keys: route (int).

    Args:
        route: Position of the teacher in the distiller's config, -1: none.

    Raises:
        UserError: If ``route`` is no integer from -1.

    Example:
        >>> dict(type='RandomChoice', transforms=[
        ...     [dict(type='mmext.SetRoute', route=-1), dict(type='RandomResizedCrop', scale=224)],
        ...     [dict(type='mmext.SetRoute', route=0), dict(type='RandomResizedCrop', scale=224)]])
    """

    def __init__(self, route: int) -> None:
        if isinstance(route, bool) or not isinstance(route, int) or route < -1:
            raise UserError(f'SetRoute: route={route!r} is the position of a teacher, from 0, or -1 for none')
        self.route = route

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Write ``route``."""
        results['route'] = self.route
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(route={self.route})'
