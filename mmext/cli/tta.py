"""``--tta``: test-time augmentation from the config, or flips by default."""
from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

#: Host -> the model that merges augmented predictions, and the name of its flip.
_MODELS: dict[str, dict[str, Any]] = {
    'mmdet': dict(type='DetTTAModel',  # registered with mmengine, not with mmdet
                  tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)),
    'mmseg': dict(type='mmseg.SegTTAModel'),
    'mmpretrain': dict(type='mmpretrain.AverageClsScoreTTA'),
}
_FLIP = {'mmdet': 'mmdet.RandomFlip', 'mmseg': 'RandomFlip', 'mmpretrain': 'RandomFlip'}
_FLIP_KEYS = ('flip', 'flip_direction')


def _innermost(dataset: Any) -> Iterator[Any]:
    """The datasets that have the pipelines, wrappers looked through."""
    if 'dataset' in dataset:
        yield from _innermost(dataset['dataset'])
    elif 'datasets' in dataset:
        for one in dataset['datasets']:
            yield from _innermost(one)
    else:
        yield dataset


def _name(step: Mapping[str, Any]) -> str:
    return str(step.get('type')).rpartition('.')[2]


def flip_pipeline(pipeline: list[Any], host: str) -> list[Any]:
    """A test pipeline that yields each image plain and flipped.

    Flipping comes before the annotations are loaded: predictions are flipped back, annotations
    must not be flipped at all.
    """
    names = [_name(step) for step in pipeline]
    split = names.index('LoadAnnotations') if 'LoadAnnotations' in names else len(pipeline) - 1
    rest = copy.deepcopy(pipeline[split:])
    pack = rest[-1]
    if host == 'mmdet' or 'meta_keys' in pack:
        keys = pack.get('meta_keys') or ('img_id', 'img_path', 'ori_shape', 'img_shape',
                                         'scale_factor')
        pack['meta_keys'] = tuple(dict.fromkeys((*keys, *_FLIP_KEYS)))
    flips = [dict(type=_FLIP[host], prob=prob) for prob in (0., 1.)]
    return [*copy.deepcopy(pipeline[:split]),
            dict(type='TestTimeAug', transforms=[flips, *([step] for step in rest)])]


def apply_tta(cfg: Config) -> list[str]:
    """Wrap the model and replace the test pipeline, in place.

    Returns:
        Notes for the user on what was taken by default.

    Raises:
        UserError: If the config has no ``tta_model`` and its host has none either.
    """
    host = cfg.get('default_scope') or 'mmengine'
    notes = []
    if cfg.get('tta_model') is None:
        if host not in _MODELS:
            raise UserError(f'--tta: the config has no tta_model and {host} has none to take '
                            f'(only {", ".join(_MODELS)} have); set tta_model and tta_pipeline')
        cfg.tta_model = _MODELS[host]
        notes.append(f"--tta: no tta_model in the config, taking {cfg.tta_model['type']}")
    for dataset in _innermost(cfg.test_dataloader.dataset):
        if cfg.get('tta_pipeline') is not None:
            dataset['pipeline'] = copy.deepcopy(cfg.tta_pipeline)
        elif host in _FLIP:
            dataset['pipeline'] = flip_pipeline(dataset['pipeline'], host)
        else:
            raise UserError(f'--tta: the config has no tta_pipeline, and there is no default one '
                            f'for {host}')
    if cfg.get('tta_pipeline') is None:
        notes.append('--tta: no tta_pipeline in the config, taking horizontal flips')
    cfg.model = dict(**cfg.tta_model, module=cfg.model)
    return notes
