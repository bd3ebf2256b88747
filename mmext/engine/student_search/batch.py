"""The one labelled batch that all candidates see."""
from __future__ import annotations

import copy
import hashlib
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config


def labelled_batch(cfg: Config, preprocessor: Any, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Training images as the network sees them, without batch augmentation, and their labels.

    Args:
        cfg: A whole config, for its ``train_dataloader``.
        preprocessor: The student's data preprocessor.
        size: How many images.
        seed: Of their choice and augmentation.

    Returns:
        Images ``(B, 3, H, W)`` and labels ``(B,)``.

    Raises:
        UserError: If the data cannot be read or do not have one label each.
    """
    from mmengine.registry import DefaultScope
    from mmengine.runner import Runner, set_random_seed
    if not cfg.get('train_dataloader'):
        raise UserError(f'{cfg.filename}: no train_dataloader to take a batch from')
    loader = copy.deepcopy(cfg.train_dataloader)
    for key in ('batch_sampler', 'num_batch_per_epoch', 'prefetch_factor'):
        loader.pop(key, None)
    loader.update(batch_size=size, num_workers=0, persistent_workers=False, drop_last=False)
    loader.setdefault('sampler', dict(type='DefaultSampler', shuffle=True))
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmengine'), \
            torch.random.fork_rng():
        set_random_seed(seed)
        try:
            data = next(iter(Runner.build_dataloader(loader, seed=seed)))
        except (OSError, StopIteration) as error:
            raise UserError(f'no training image can be read: {error or "the data set is empty"}') from None
        data = preprocessor(data, False)
    images, samples = data['inputs'], data.get('data_samples') or []
    labels = [getattr(sample, 'gt_label', None) for sample in samples]
    if not isinstance(images, Tensor) or not labels or any(
            not isinstance(label, Tensor) or label.numel() != 1 for label in labels):
        raise UserError('the search needs a batch of images of one size with one gt_label each, as '
                        "mmpretrain's classification data sets give; for a detector's backbone search with "
                        'a classifier around it')
    return images, torch.cat([label.reshape(1) for label in labels if label is not None]).long()


def digest(images: Tensor, labels: Tensor) -> str:
    """A short fingerprint of a batch."""
    content = hashlib.sha256(images.cpu().numpy().tobytes())
    content.update(labels.cpu().numpy().tobytes())
    return content.hexdigest()[:16]
