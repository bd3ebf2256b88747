"""Which teacher each image goes to."""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmext.errors import UserError
from mmext.registry import TASK_UTILS


@TASK_UTILS.register_module()
class SampleRouter:
    """Reads the teacher of each sample, or draws it: a router of :class:`mmext.Distiller`.

    KD-CI-CAM draws none, the first or the second teacher with equal chance for each image, before its crop,
    because each teacher has crops of its own: see :class:`mmext.SetRoute`.

    Args:
        draw: Number of teachers to draw from, and none of them, for samples without a ``route``. None: a
            sample without one is an error.
        group_mean: A loss is the mean over the images of its teacher. False: over the whole batch, images of
            others counted as zero.

    Raises:
        UserError: If ``draw`` is less than 1; while running, if a sample has no route.
    """

    def __init__(self, draw: int | None = None, group_mean: bool = True) -> None:
        if draw is not None and draw < 1:
            raise UserError(f'SampleRouter: draw={draw} must be at least 1, or None')
        self.draw, self.group_mean = draw, group_mean

    def __call__(self, inputs: Any, data_samples: Any) -> Tensor:
        """Position of the teacher of each image, ``(B, )`` int64; -1: none.

        Args:
            inputs: Unused.
            data_samples: With ``route``, which ``PackInputs`` keeps if it is one of its ``meta_keys``.
        """
        routes = []
        for sample in data_samples or ():
            route = sample.get('route')
            if route is None:
                if self.draw is None:
                    raise UserError("SampleRouter: a sample has no 'route': put mmext.SetRoute into the "
                                    "pipeline and 'route' into PackInputs' meta_keys, or set draw=<number "
                                    'of teachers>')
                route = int(torch.randint(-1, self.draw, ()))
            routes.append(route)
        return torch.tensor(routes, dtype=torch.int64)
