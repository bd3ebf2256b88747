"""Weights of a checkpoint stay, whatever a host's initialisation does."""
from __future__ import annotations

from mmengine.model import BaseModule, initialize


def load_again(model: BaseModule) -> None:
    """Load the checkpoint of a detector's own ``init_cfg`` once more; nothing without one.

    mmdet's Deformable DETR and its kin load it first and then initialise encoder, decoder and embeddings,
    which overwrites it: their ``init_weights`` is followed by this.

    Args:
        model: With ``init_cfg``, a dict or a list of dicts.
    """
    cfgs = model.init_cfg if isinstance(model.init_cfg, (list, tuple)) else [model.init_cfg]
    for cfg in cfgs:
        if cfg and cfg['type'] == 'Pretrained':
            initialize(model, dict(cfg))
