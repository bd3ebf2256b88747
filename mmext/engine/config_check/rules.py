"""What the hosts do with config dicts outside a plain ``REGISTRY.build(cfg)``.

Tables only; they are as short as running the check over every config of the four hosts allows.
"""
from __future__ import annotations

import mmengine.registry as roots
from mmengine.registry import Registry

#: Keys whose nested ``type`` has one role wherever they stand.
ROLE_OF_KEY: dict[str, Registry] = {
    'pipeline': roots.TRANSFORMS,
    'vis_backends': roots.VISBACKENDS,
}

#: Parts of a model: each a dict, a list of them, or None.
PART_KEYS = frozenset((
    'backbone', 'neck', 'head', 'bbox_head', 'mask_head', 'rpn_head', 'roi_head', 'query_head', 'decode_head',
    'auxiliary_head', 'data_preprocessor', 'detector',
))

#: Keys whose ``type`` names something in ``mmcv.ops``.
OPS_KEYS = frozenset(('roi_layer', ))

#: Keys whose ``type`` is looked up outside the registries.
OPAQUE_KEYS = frozenset(('nms', 'dqs_cfg'))

#: Class -> arguments whose ``type`` is looked up outside the registries, or not constructed.
OPAQUE_OWNERS: dict[str, frozenset[str]] = {
    'Albu': frozenset(('transforms', 'bbox_params')),
    'Albumentations': frozenset(('transforms', )),
    'Flamingo': frozenset(('adapter', )),
    'LoRAModel': frozenset(('targets', )),
}

#: Base class -> keys that its builder takes out before calling the constructor.
CONSUMED_BY_BUILDER: dict[str, frozenset[str]] = {
    'Hook': frozenset(('priority', )),
    '_ParamScheduler': frozenset(('convert_to_iter_based', )),
    'BaseOptimWrapper': frozenset(('constructor', 'paramwise_cfg')),
}

#: Key of the dict -> keys that mmcv takes out before building it.
CONSUMED_BY_KEY: dict[str, frozenset[str]] = {
    'norm_cfg': frozenset(('requires_grad', )),
}
