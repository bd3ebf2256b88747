"""A made-up picture, packed for a model of any host."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...apis.pipeline import TestPipeline, dataset_meta
from ...errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

#: Height and width of the picture that goes through the test pipeline when no shape is given: the
#: one for which the hosts print their FLOPs.
PICTURE = (800, 1280)


def dummy_batch(cfg: Config, shape: tuple[int, int] | None, batch_size: int = 1) -> dict[str, Any]:
    """What a data loader gives to the model, from a picture of noise.

    Args:
        cfg: A whole config; its default scope must be the current one.
        shape: Height and width that the model is to see; None runs the config's test pipeline on
            an 800 x 1280 picture.
        batch_size: How many of them.

    Returns:
        ``inputs`` (CHW uint8 tensors) and ``data_samples``, collated.

    Raises:
        UserError: If the shape is not positive.
    """
    from mmengine.dataset import pseudo_collate
    if shape is not None and min(shape) < 1:
        raise UserError(f'shape {shape[0]} x {shape[1]}: expected positive numbers')
    classes = dataset_meta(cfg).get('classes')
    pipeline = TestPipeline(cfg, tuple(classes) if classes else None)
    noise = np.random.default_rng(0).integers(0, 256, (*PICTURE, 3), np.uint8)
    items = [pipeline(noise, index)[1] for index in range(batch_size)]
    if shape is not None:
        for item in items:
            item['inputs'] = _resized(item['inputs'], shape)
            _describe(item['data_samples'], shape)
    return pseudo_collate(items)


def _resized(inputs: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (inputs.shape[0], *shape), generator=generator,
                         dtype=torch.uint8).to(inputs.dtype)


def _describe(sample: Any, shape: tuple[int, int]) -> None:
    """Make the sample's metadata agree with the shape: a picture that was not rescaled."""
    known = sample.metainfo
    meta: Mapping[str, Any] = dict(img_shape=shape, ori_shape=shape, pad_shape=shape,
                                   batch_input_shape=shape, scale_factor=(1.0, 1.0))
    sample.set_metainfo({key: value for key, value in meta.items()
                         if key in known or key in ('img_shape', 'ori_shape')})
