"""Several detectors as one model, for configs: predict with each, fuse."""
from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.models.detectors import BaseDetector
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ...errors import UserError, did_you_mean
from ...evaluation.arrays import as_array
from ...registry import MODELS, TASK_UTILS
from .calibrator import PRAECalibrator
from .columns import Detections

_MEMBER_KEYS = ('name', 'config', 'model', 'checkpoint')
_MODES = ('resident', 'sequential')


@MODELS.register_module()
class EnsembleDetector(BaseDetector):
    """Detectors of mmdet or mmrotate whose results are fused; for testing and inference only.

    All detectors see what the config's test pipeline loads; each normalises it with its own data
    preprocessor. Their boxes must be of one kind, their classes the same in the same order.

    Args:
        detectors: A dict for each: ``name`` (as the calibration knows it), ``config`` (file or
            ``package::path``) or ``model`` (the dict itself, with ``_scope_`` if it is another host's),
            and perhaps ``checkpoint``, whose weights must all fit.
        fusion: See :class:`.PRAEFusion`; P-NMS at an IoU of 0.5 and 100 detections by default.
        calibrator: Calibration file, or a dict for :class:`.PRAECalibrator`; None ranks by raw scores.
        mode: 'resident': all detectors stay on the device; 'sequential': each is moved there for its
            turn, so that the device holds one at a time. They are then no part of ``state_dict``, and
            several processes cannot share them.
        data_preprocessor: Only moves data to the device by default.
        init_cfg: Unused by detectors, which load their own checkpoints.

    Raises:
        UserError: For unknown keys, double names, checkpoints that do not fit, detectors of different
            classes, or a calibration of other detectors or classes; while predicting, if boxes or masks
            are not of one kind.

    Example:
        >>> dict(type='mmext.EnsembleDetector',
        ...      detectors=[dict(name='atss', config='atss.py', checkpoint='atss.pth'),
        ...                 dict(name='fcos', config='fcos.py', checkpoint='fcos.pth')],
        ...      calibrator='work_dirs/prae/calibration.json')
    """

    def __init__(self,
                 detectors: Sequence[Mapping[str, Any]],
                 fusion: Mapping[str, Any] | None = None,
                 calibrator: str | Path | Mapping[str, Any] | None = None,
                 mode: str = 'resident',
                 data_preprocessor: Mapping[str, Any] | None = None,
                 init_cfg: Mapping[str, Any] | None = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor or dict(type='mmengine.BaseDataPreprocessor'),
                         init_cfg=init_cfg)
        if mode not in _MODES:
            raise UserError(f"mode: '{mode}' is not {' or '.join(_MODES)}{did_you_mean(mode, _MODES)}")
        if not detectors:
            raise UserError('detectors: an ensemble needs one at least')
        self.names = [_name(one, place) for place, one in enumerate(detectors)]
        for name in self.names:
            if self.names.count(name) > 1:
                raise UserError(f"detectors: two are called '{name}'")
        settings = dict(fusion or dict(type='mmext.PRAEFusion', max_per_img=100))
        settings.setdefault('type', 'mmext.PRAEFusion')
        self.fusion = TASK_UTILS.build(settings)
        self.calibrator = _calibrator(calibrator)
        built = [_build(one, name) for one, name in zip(detectors, self.names)]
        self.classes = _common_classes(dict(zip(self.names, (classes for _, classes in built))))
        if self.calibrator is not None:
            self.calibrator.require(self.names, self.classes, 'EnsembleDetector')
        self.mode = mode
        members = [model for model, _ in built]
        # A plain list is not a child: .to(device) leaves what is in it where it is.
        self.detectors: Any = nn.ModuleList(members) if mode == 'resident' else members
        self.train(False)

    def train(self, mode: bool = True) -> EnsembleDetector:
        """The detectors stay in evaluation mode."""
        super().train(mode)
        for detector in self.detectors if hasattr(self, 'detectors') else ():
            detector.eval()
        return self

    def predict(self, batch_inputs: Any, batch_data_samples: Sequence[Any], rescale: bool = True
                ) -> list[Any]:
        """Fused detections of a batch.

        Args:
            batch_inputs: Images as the pipeline packs them, before normalisation: B tensors (3, H, W),
                or one (B, 3, H, W).
            batch_data_samples: B data samples.
            rescale: Must be True: boxes are those of the original images.

        Returns:
            B data samples with ``pred_instances``: ``bboxes`` of the detectors' kind, ``scores``,
            ``labels``, ``masks`` if the detectors have them, ``detectors`` (number of the one that the
            box descends from).
        """
        if not rescale:
            raise UserError('EnsembleDetector: boxes are fused in original images, it needs rescale=True')
        results = []
        device = next(iter(batch_inputs)).device
        for detector in self.detectors:
            data = dict(inputs=batch_inputs if isinstance(batch_inputs, Tensor) else list(batch_inputs),
                        data_samples=copy.deepcopy(list(batch_data_samples)))
            if self.mode == 'sequential':
                detector.to(device)
            results.append(detector.test_step(data))  # type: ignore[operator]
            if self.mode == 'sequential':
                detector.to('cpu')
        for samples in zip(*results):
            samples[0].pred_instances = self._fuse([sample.pred_instances for sample in samples])
        return list(results[0])

    def _fuse(self, predictions: Sequence[InstanceData]) -> InstanceData:
        parts = [_columns(one, number) for number, one in enumerate(predictions)]
        kinds = {part.boxes.shape[1] for part in parts}
        if len(kinds) > 1:
            raise UserError('EnsembleDetector: detectors with boxes of different kinds: ' + ', '.join(
                f'{name} {part.boxes.shape[1]} numbers' for name, part in zip(self.names, parts)))
        found = Detections.joined(parts)
        if self.calibrator is None:
            top = int(found.label.max(initial=0)) + 1
            found.check(self.names, len(self.classes or ()) or top, 'EnsembleDetector')
        fused, source = self.fusion(found, self.calibrator, len(parts))
        like = predictions[0]
        boxes = like.bboxes
        raw = getattr(boxes, 'tensor', boxes)
        tensor = torch.from_numpy(fused.boxes).to(raw)
        result = InstanceData(
            bboxes=type(boxes)(tensor) if hasattr(boxes, 'tensor') else tensor,
            scores=torch.from_numpy(fused.scores).to(like.scores),
            labels=torch.from_numpy(fused.label).to(like.labels),
            detectors=torch.from_numpy(fused.detector).to(like.labels))
        if any('masks' in one for one in predictions):
            result.masks = self._masks(predictions, parts, source)
        return result

    def _masks(self, predictions: Sequence[InstanceData], parts: Sequence[Detections], source: np.ndarray
               ) -> Tensor:
        without = [name for name, one in zip(self.names, predictions) if 'masks' not in one]
        if without:
            raise UserError(f"EnsembleDetector: {', '.join(without)} predicts no masks, other detectors do")
        starts = np.cumsum([0, *(len(part) for part in parts)])
        detector = np.searchsorted(starts, source, 'right') - 1
        # of each detector only what is left: a mask is as large as the image
        pieces = [one.masks[torch.from_numpy(source[detector == number] - starts[number])
                            .to(one.masks.device)] for number, one in enumerate(predictions)]
        place = np.argsort(np.argsort(detector, kind='stable'), kind='stable')
        return torch.cat(pieces)[torch.from_numpy(place).to(pieces[0].device)]

    def loss(self, batch_inputs: Tensor, batch_data_samples: Any) -> Any:
        """An ensemble is not trained.

        Raises:
            UserError: Always.
        """
        raise UserError('EnsembleDetector trains nothing: train its detectors, each with its own config')

    def _forward(self, batch_inputs: Tensor, batch_data_samples: Any = None) -> Any:
        """The detectors' raw outputs, one after the other; what ``mode='tensor'`` gives."""
        return tuple(detector(batch_inputs, batch_data_samples, mode='tensor')
                     for detector in self.detectors)

    def extract_feat(self, batch_inputs: Tensor) -> Any:
        """Each detector's features."""
        return tuple(detector.extract_feat(batch_inputs)  # type: ignore[operator]
                     for detector in self.detectors)


def _name(member: Mapping[str, Any], place: int) -> str:
    for key in member:
        if key not in _MEMBER_KEYS:
            raise UserError(f"detectors.{place}: no key '{key}'{did_you_mean(key, _MEMBER_KEYS)} "
                            f"(has {', '.join(_MEMBER_KEYS)})")
    if ('config' in member) == ('model' in member):
        raise UserError(f'detectors.{place}: give either config or model')
    if 'name' not in member and 'model' in member:
        raise UserError(f'detectors.{place}: a detector given as model needs a name')
    return str(member.get('name') or Path(member['config']).stem)


def _calibrator(given: Any) -> PRAECalibrator | None:
    if given is None or isinstance(given, PRAECalibrator):
        return given
    if isinstance(given, str | Path):
        return PRAECalibrator.load(given)
    return TASK_UTILS.build(dict(dict(type='mmext.PRAECalibrator'), **given))


def _build(member: Mapping[str, Any], name: str) -> tuple[nn.Module, tuple[str, ...] | None]:
    """A detector and its classes' names, if its config or checkpoint says them."""
    from mmengine.config import Config

    from ...apis.model import build_model, class_meta, read_checkpoint
    from ...cli.config import load_config
    from ...engine.checkpoint.report import compare

    if 'config' in member:
        cfg = load_config(str(member['config']))
    else:
        model = dict(member['model'])
        cfg = Config(dict(model=model, default_scope=model.pop('_scope_', 'mmdet')))
    built = build_model(cfg)
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    stated = dataset.get('metainfo') or {}
    stored: dict[str, Any] = {}
    if member.get('checkpoint'):
        state, stored = read_checkpoint(member['checkpoint'])
        fit = compare(built.state_dict(), state)
        if not fit.whole:
            raise UserError(f"{member['checkpoint']}: does not fit detector '{name}': {fit}")
        built.load_state_dict(state)
    classes = class_meta(stated, stored).get('classes')
    return built, tuple(classes) if classes else None


def _common_classes(classes: Mapping[str, tuple[str, ...] | None]) -> tuple[str, ...] | None:
    known = {name: one for name, one in classes.items() if one}
    if not known:
        return None
    first, expected = next(iter(known.items()))
    for name, one in known.items():
        if one != expected:
            how = 'in another order' if sorted(one) == sorted(expected) else 'others'
            raise UserError(f'detectors: {name} has classes {", ".join(one[:8])}, {how} than {first}, '
                            f'{", ".join(expected[:8])}')
    return expected


def _columns(prediction: InstanceData, detector: int) -> Detections:
    boxes = as_array(prediction.bboxes)
    if boxes.ndim != 2:
        boxes = boxes.reshape(0, 4)
    count = len(boxes)
    return Detections.of(np.zeros(count), np.full(count, detector), as_array(prediction.labels), boxes,
                         as_array(prediction.scores))
