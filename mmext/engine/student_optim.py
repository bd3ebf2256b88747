"""Optimizers of a Distiller: the host's own rules, as if the student were trained alone."""
from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from mmengine.optim import OptimWrapper
from torch import nn

from mmext.errors import UserError
from mmext.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class StudentOptimWrapperConstructor:
    """Gives the student to another constructor, and the distiller's own parameters a group of their own.

    Constructors with layer-wise learning rates read names such as ``backbone.layers.3``; in a distiller
    these are ``student.backbone.layers.3``, and they would take everything for the head.
    mmpretrain's also works for the other hosts' models, if their backbone has ``get_layer_depth``.
    The distiller's own parameters (connectors, losses) have the full learning rate, those with one
    dimension no weight decay. A model without a student is its own.

    Args:
        optim_wrapper_cfg: As for every constructor.
        paramwise_cfg: ``constructor`` is the type of the other one, with its scope if it is not of this
            run's host; the rest is for that one.

    Example:
        >>> optim_wrapper = dict(
        ...     optimizer=dict(type='AdamW', lr=1e-4),
        ...     constructor='mmext.StudentOptimWrapperConstructor',
        ...     paramwise_cfg=dict(constructor='mmpretrain.LearningRateDecayOptimWrapperConstructor',
        ...                        layer_decay_rate=0.7))
    """

    def __init__(self, optim_wrapper_cfg: dict[str, Any],
                 paramwise_cfg: Mapping[str, Any] | None = None) -> None:
        rules = dict(paramwise_cfg or {})
        kind = rules.pop('constructor', 'DefaultOptimWrapperConstructor')
        if kind.rsplit('.', 1)[-1] == type(self).__name__:
            raise UserError(f'{kind}: paramwise_cfg.constructor is for the other one, which has the rules')
        self.constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
            dict(type=kind, optim_wrapper_cfg=optim_wrapper_cfg, paramwise_cfg=rules))

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """The optim wrapper of all that is trained in the model.

        Raises:
            UserError: If the other constructor needs layers that the student's backbone does not tell.
        """
        model = getattr(model, 'module', model)
        student = getattr(model, 'student', model)
        wrapper = self._of_student(student)
        inside = {id(parameter) for parameter in student.parameters()}
        own = {name: parameter for name, parameter in model.named_parameters()
               if id(parameter) not in inside and parameter.requires_grad}
        groups = wrapper.optimizer.param_groups
        for flat in (False, True):
            names = [name for name, parameter in own.items() if (parameter.ndim <= 1) == flat]
            if names:
                group: dict[str, Any] = dict(params=[own[name] for name in names])
                if flat:
                    group['weight_decay'] = 0.
                if 'param_names' in groups[0]:  # torch wants them in all groups or in none
                    group['param_names'] = names
                wrapper.optimizer.add_param_group(group)
        return wrapper

    def _of_student(self, student: nn.Module) -> OptimWrapper:
        backbone = getattr(student, 'backbone', None)
        depth: Any = getattr(backbone, 'get_layer_depth', None)
        if depth is not None and not hasattr(student, 'get_layer_depth'):
            # mmpretrain's constructor asks the model, and only mmpretrain's own models know
            vars(student)['get_layer_depth'] = partial(depth, prefix='backbone.')
        try:
            return self.constructor(student)
        except NotImplementedError as error:
            raise UserError(f'{type(self.constructor).__name__} has no layer-wise learning rates for '
                            f'{type(student).__name__} with {type(backbone).__name__} ({error})') from None
        finally:
            vars(student).pop('get_layer_depth', None)
