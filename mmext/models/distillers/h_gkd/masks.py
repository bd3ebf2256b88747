"""The mask that teacher and student share, on its way from the data samples to both.

Shapes: B images, a mask of f x f cells (True: masked); a cell is 32 x 32 pixels.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmpretrain.models.utils.sparse_modules import SparseHelper
from mmpretrain.structures import DataSample
from torch import Tensor

from mmext.errors import UserError

FIELD = 'mask'


def has_masks(data_samples: Any) -> bool:
    """Whether the first sample brings a mask."""
    return bool(data_samples) and FIELD in data_samples[0]


def with_masks(data_samples: Sequence[DataSample] | None, masks: Tensor) -> list[DataSample]:
    """Copies of the samples (of nothing, if there are none), each with its mask ``(B, f, f)``."""
    samples = [DataSample() for _ in masks] if data_samples is None else [one.new() for one in data_samples]
    for sample, mask in zip(samples, masks):
        sample.set_field(mask, FIELD, dtype=Tensor)
    return samples


def read_masks(data_samples: Sequence[DataSample] | None, who: str) -> tuple[Tensor, int]:
    """The masks of a batch ``(B, f, f)``, on the CPU, and how many cells are visible in each.

    Raises:
        UserError: If there are none, or their sizes or numbers of visible cells differ.
    """
    if data_samples is None or not has_masks(data_samples):
        raise UserError(f"{who}: the data samples have no '{FIELD}': train it as a part of mmext.HGKD")
    masks = [torch.as_tensor(one.get(FIELD)).cpu().bool() for one in data_samples]
    shapes = {tuple(mask.shape) for mask in masks}
    counts = {int((~mask).sum()) for mask in masks}
    if len(shapes) > 1 or masks[0].ndim != 2:
        raise UserError(f"{who}: '{FIELD}' of the data samples must have one shape (f, f), not "
                        f'{" and ".join(str(shape) for shape in sorted(shapes))}')
    if len(counts) > 1 or not 0 < max(counts) <= masks[0].numel():
        raise UserError(f"{who}: '{FIELD}' must leave as many cells visible in every image of a batch, one "
                        f'or more, but it leaves {" and ".join(map(str, sorted(counts)))}')
    return torch.stack(masks), counts.pop()


def spread(masks: Tensor, size: tuple[int, int], who: str) -> Tensor:
    """Masks on a finer grid ``(B, h, w)``.

    Raises:
        UserError: If a cell is not a whole number of places of the finer grid.
    """
    rows, columns = masks.shape[1:]
    if size[0] % rows or size[1] % columns:
        raise UserError(f'{who}: a mask of {rows}x{columns} cells does not fit a grid of {size[0]}x'
                        f'{size[1]}: give image and patch sizes that divide each other')
    return masks.repeat_interleave(size[0] // rows, 1).repeat_interleave(size[1] // columns, 2)


@contextmanager
def sparse(visible: Tensor) -> Iterator[None]:
    """mmpretrain's sparse modules see only these cells ``(B, 1, f, f)``, within the block.

    The host keeps them in one place for the whole process; here the former ones come back.
    """
    before = SparseHelper._cur_active
    SparseHelper._cur_active = visible
    try:
        yield
    finally:
        SparseHelper._cur_active = before
