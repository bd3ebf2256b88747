"""Which record a distillation loss compares with which, how strongly and at which size."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmext.errors import UserError, did_you_mean

from .recorder import Record
from .schedule import WeightSchedule

_KEYS = ('loss', 'pred', 'target', 'weight', 'schedule', 'resize')
RESIZE = ('none', 'teacher_to_student', 'student_to_teacher')
Value = Tensor | list[Tensor]


@dataclass(frozen=True)
class Pairing:
    """One loss of a distiller.

    Attributes:
        name: Of the loss.
        pred: Record of the student, or a connector.
        target: Record of a teacher.
        base: Its weight; schedule: a factor on it.
        resize: 'none', 'teacher_to_student' or 'student_to_teacher'.
        loss: Config of the loss module.
    """

    name: str
    pred: str
    target: str
    base: float
    schedule: WeightSchedule | None
    resize: str
    loss: dict[str, Any]

    @classmethod
    def from_cfg(cls, name: str, cfg: Mapping[str, Any], records: Mapping[str, Record],
                 connected: Mapping[str, str], resize: str) -> Pairing:
        """From ``dict(loss=dict(type=...), pred=..., target=..., weight=..., schedule=..., resize=...)``."""
        where = f"loss '{name}'"
        if 'loss' not in name:
            raise UserError(f"{where}: its name needs 'loss' in it: mmengine adds up only those")
        for key in cfg:
            if key not in _KEYS:
                raise UserError(f"{where} has the unknown key '{key}'{did_you_mean(key, _KEYS)}")
        if 'loss' not in cfg:
            raise UserError(f"{where} has no loss=dict(type=...)")
        pred, target = str(cfg.get('pred')), str(cfg.get('target'))
        preds = [*(one for one, record in records.items() if record.net == 'student'), *connected]
        targets = [one for one, record in records.items() if record.net != 'student']
        for key, value, known in (('pred', pred, preds), ('target', target, targets)):
            if value not in known:
                raise UserError(f"{where}: {key}='{value}' is not recorded{did_you_mean(value, known)} "
                                f'(choose from {", ".join(known)})')
        own = cfg.get('resize', resize)
        if own not in RESIZE:
            raise UserError(f"{where}: resize='{own}'{did_you_mean(own, RESIZE)} (choose from "
                            f'{", ".join(RESIZE)})')
        schedule = cfg.get('schedule')
        return cls(name, pred, target, cfg.get('weight', 1.),
                   WeightSchedule.from_cfg(where, schedule) if schedule else None, own, cfg['loss'])

    def weight(self) -> float:
        """The weight at the run's present iteration."""
        return self.base * (self.schedule.now() if self.schedule else 1.)

    def __call__(self, loss: nn.Module, pred: Value, target: Value, context: dict[str, Any]) -> Tensor:
        """The loss, unweighted, in full precision.

        Raises:
            UserError: If the records do not fit each other, or the loss has no gradient.
        """
        first = pred[0] if isinstance(pred, list) else pred
        with torch.autocast(first.device.type, enabled=False):
            return self._value(loss, pred, target, context)

    def _value(self, loss: nn.Module, pred: Value, target: Value, context: dict[str, Any]) -> Tensor:
        if getattr(loss, 'whole_records', False):  # the loss pairs the tensors itself
            preds, targets = (value if isinstance(value, list) else [value] for value in (pred, target))
            preds, targets = [one.float() for one in preds], [one.float() for one in targets]
            return self._checked(loss(preds, targets, **self._extra(loss, context)), preds[0])
        preds, targets = (value if isinstance(value, list) else [value] for value in (pred, target))
        if len(preds) != len(targets):
            raise UserError(f"loss '{self.name}': '{self.pred}' has {len(preds)} tensors, '{self.target}' "
                            f'has {len(targets)}: give both the same modules, or index= and call=')
        total = preds[0].new_zeros((), dtype=torch.float32)
        for one, other in zip(preds, targets):
            pair = self._fitted(loss, one.float(), other.float())
            total = total + loss(*pair, **self._extra(loss, context))
        return self._checked(total, preds[0])

    def _extra(self, loss: nn.Module, context: dict[str, Any]) -> dict[str, Any]:
        return dict(context=context) if getattr(loss, 'needs_context', False) else {}

    def _fitted(self, loss: nn.Module, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if not getattr(loss, 'same_shape', True):
            return pred, target
        if pred.ndim == target.ndim == 4 and pred.shape[2:] != target.shape[2:]:
            if self.resize == 'teacher_to_student':
                target = F.interpolate(target, pred.shape[2:], mode='bilinear', align_corners=False)
            elif self.resize == 'student_to_teacher':
                pred = F.interpolate(pred, target.shape[2:], mode='bilinear', align_corners=False)
        if pred.shape != target.shape:
            hint = 'they are of other kinds'
            if pred.ndim == target.ndim and pred.ndim > 1:
                axis = 1 if pred.ndim == 4 else -1
                ours, theirs = pred.shape[axis], target.shape[axis]
                kind = 'ConvConnector' if pred.ndim == 4 else 'LinearConnector'
                hint = (f"put the connector dict(input='{self.pred}', layer=dict(type='mmext.{kind}', "
                        f'in_channels={ours}, out_channels={theirs})) between (logits: is the teacher of '
                        'other classes?)'
                        if ours != theirs else 'set resize=')
            raise UserError(f"loss '{self.name}': '{self.pred}' is {tuple(pred.shape)} and '{self.target}' "
                            f'is {tuple(target.shape)}: {hint}')
        return pred, target

    def _checked(self, value: Tensor, pred: Tensor) -> Tensor:
        if torch.is_grad_enabled() and not value.requires_grad:
            raise UserError(f"loss '{self.name}' has no gradient path: '{self.pred}' comes from frozen "
                            'modules of the student; record a trained one, or put a connector between')
        return value


def scaled(value: Any, weight: float | None) -> Any:
    """A loss, or a list of losses, times a weight."""
    if isinstance(value, list | tuple):
        return [scaled(one, weight) for one in value]
    return value if weight is None or weight == 1 else value * weight
