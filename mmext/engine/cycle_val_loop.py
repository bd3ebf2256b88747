"""Validation of all members of CST."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.runner import ValLoop

from ..registry import LOOPS


@LOOPS.register_module()
class CycleValLoop(ValLoop):
    """Evaluates several members of :class:`mmext.CycleSelfTraining` one after the other.

    Args:
        runner: The runner.
        dataloader: As for mmengine's loop.
        evaluator: As for mmengine's loop.
        fp16: Predict in half precision.
        members: What to evaluate, as in ``semi_test_cfg.predict_on``.

    The metrics get the member's name in front: ``teacher1/coco/bbox_mAP``.
    """

    def __init__(self, runner: Any, dataloader: Any, evaluator: Any, fp16: bool = False,
                 members: Sequence[str] = ('teacher1', 'teacher2', 'student1', 'student2')) -> None:
        super().__init__(runner, dataloader, evaluator, fp16)
        self.members = tuple(members)

    def run(self) -> dict[str, Any]:
        """Evaluate; the hooks see one validation with all members' metrics."""
        runner = self.runner
        runner.call_hook('before_val')
        runner.call_hook('before_val_epoch')
        runner.model.eval()
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        chosen, metrics = model.semi_test_cfg['predict_on'], {}
        try:
            for member in self.members:
                model.semi_test_cfg['predict_on'] = member
                for index, batch in enumerate(self.dataloader):
                    self.run_iter(index, batch)
                values = self.evaluator.evaluate(len(self.dataloader.dataset))
                metrics.update({f'{member}/{name}': value for name, value in values.items()})
        finally:
            model.semi_test_cfg['predict_on'] = chosen
        runner.call_hook('after_val_epoch', metrics=metrics)
        runner.call_hook('after_val')
        return metrics
