"""Validation of a distiller's student and of its teachers."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.runner import ValLoop

from ..errors import UserError, did_you_mean
from ..registry import LOOPS


@LOOPS.register_module()
class DistillValLoop(ValLoop):
    """Evaluates the student of a :class:`mmext.Distiller` and, beside it, its teachers.

    The student's metrics keep their names, so ``save_best`` works; a teacher's get its name in front:
    ``big/coco/bbox_mAP``. Teachers do not change, so each is evaluated in the first validation only; one
    that is run in train mode has moving batch statistics and is evaluated in all. A teacher whose config
    has no data preprocessor gets the student's images.

    Args:
        runner: The runner.
        dataloader: As for mmengine's loop.
        evaluator: As for mmengine's loop.
        fp16: Predict in half precision.
        evaluate: 'student' and names of teachers.

    Raises:
        UserError: If the model has no teacher of that name; before training starts.

    Example:
        >>> val_cfg = dict(type='mmext.DistillValLoop', evaluate=('student', 'big'))
    """

    def __init__(self, runner: Any, dataloader: Any, evaluator: Any, fp16: bool = False,
                 evaluate: Sequence[str] = ('student', )) -> None:
        super().__init__(runner, dataloader, evaluator, fp16)
        self.members = tuple(evaluate)
        self._fixed: dict[str, dict[str, Any]] = {}
        known = ['student', *getattr(self._distiller, 'networks', {})]
        for member in self.members:
            if member not in known:
                raise UserError(f"DistillValLoop: nothing called '{member}' to evaluate"
                                f'{did_you_mean(member, known)} (choose from {", ".join(known)})')

    @property
    def _distiller(self) -> Any:
        model = self.runner.model
        return model.module if is_model_wrapper(model) else model

    def run(self) -> dict[str, Any]:
        """Evaluate; the hooks see one validation with all metrics."""
        runner, model, bare = self.runner, self.runner.model, self._distiller
        runner.call_hook('before_val')
        runner.call_hook('before_val_epoch')
        model.eval()
        metrics: dict[str, Any] = {}
        for member in self.members:
            if member == 'student':
                metrics.update(self._evaluate())
                continue
            network = bare.networks[member]
            if member not in self._fixed or network.module.training:
                bare.prepare_teachers()
                with network.evaluated(bare.data_preprocessor) as runner.model:
                    try:
                        self._fixed[member] = self._evaluate()
                    finally:
                        runner.model = model
            metrics.update({f'{member}/{name}': value for name, value in self._fixed[member].items()})
        runner.call_hook('after_val_epoch', metrics=metrics)
        runner.call_hook('after_val')
        return metrics

    def _evaluate(self) -> dict[str, Any]:
        for index, batch in enumerate(self.dataloader):
            self.run_iter(index, batch)
        return self.evaluator.evaluate(len(self.dataloader.dataset))
