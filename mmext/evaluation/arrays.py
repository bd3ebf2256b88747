"""What every metric does with the predictions of one image: make arrays, refuse what cannot be."""
from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..errors import UserError


def as_array(values: Any) -> np.ndarray:
    """A tensor, box structure or sequence as an array in main memory."""
    values = getattr(values, 'tensor', values)  # the hosts' box classes hold one
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)


class ImageCheck:
    """Refuses predictions that cannot be right, one image after the other.

    Args:
        classes: Number of classes of the data set.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self._seen: set = set()

    def __call__(self, image: Any, boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> None:
        """Check the predictions of one image.

        Args:
            image: Its id.
            boxes, scores, labels: (n, any), (n, ) and (n, ).

        Raises:
            UserError: If the image has come before, the columns differ in length, a score or box is not
                finite, or a label is no class.
        """
        if image in self._seen:
            raise UserError(f'two results of one image, {image!r}')
        self._seen.add(image)
        if not len(boxes) == len(scores) == len(labels):
            raise UserError(f'image {image!r}: columns of different lengths, {len(boxes)} bboxes, '
                            f'{len(scores)} scores, {len(labels)} labels')
        for name, values in (('bboxes', boxes), ('scores', scores)):
            if not np.isfinite(values).all():
                raise UserError(f'image {image!r}: {name} that are not finite (NaN or infinite); has '
                                'training diverged?')
        if len(labels) and not 0 <= labels.min() <= labels.max() < self.classes:
            raise UserError(f'image {image!r}: labels {labels.min()} to {labels.max()}, but the data set '
                            f'has {self.classes} classes; does num_classes of the head fit?')
