"""CST: two students and two teachers in a ring (our reading).

Cycle Self-Training for Semi-Supervised Object Detection with Distribution Consistency Reweighting
(Hao Liu et al., ACM Multimedia 2022, arXiv 2207.05334). There is no public code, and only the
abstract could be read. Certain are the ring S1 -> T1 -> S2 -> T2 -> S1 (averages of the weights
within a pair, pseudo-labels across) and that pseudo-labels are reweighted by the consistency of
the two teachers' distributions. Divergence, thresholds, burn-in and schedules are our choices; all
are fields of the config.
"""
from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from mmcv.ops import batched_nms
from mmdet import registry as mmdet_registry
from mmdet.models.detectors.base import BaseDetector
from mmdet.models.utils import filter_gt_instances, rename_loss_dict, reweight_loss_dict
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_project
from mmengine.config import ConfigDict
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ...errors import UserError, did_you_mean
from ...registry import MODELS, TASK_UTILS
from .roi_options import background_scores, box_scatter, class_scores
from .settings import TEST_CFG, TRAIN_CFG, check_options, merged
from .weighted_loss import require_supported, weighted_losses

STUDENTS = ('student1', 'student2')
TEACHERS = ('teacher1', 'teacher2')
MEMBERS = (*TEACHERS, *STUDENTS)


@dataclass(frozen=True)
class PseudoLabels:
    """What the two teachers make of a batch.

    Attributes:
        boxes: For each teacher and image ``bboxes (N, 4)`` in the original image, ``scores``, ``labels``,
            ``consistency`` (weights) and, if asked for, ``scatter``, (N, ) each.
        features: Of each teacher with an RoI head, the maps of the weak views.
        views: The weak views.
    """

    boxes: list[list[InstanceData]]
    features: list[Any]
    views: list[DetDataSample]


@MODELS.register_module()
class CycleSelfTraining(BaseDetector):
    """Four copies of any mmdet detector that teach each other.

    Batches come in the branches ``sup`` (labelled), ``unsup_teacher`` (weak view), ``unsup_student1``
    and ``unsup_student2`` (two strong views of the same images), as ``mmdet.MultiBranch`` makes
    them. Teachers get no gradient and stay in eval mode; :class:`mmext.CycleMeanTeacherHook` moves
    them. A plain detector's checkpoint initialises all four, one of ``mmdet.SoftTeacher`` both pairs.

    On one process the two students' backward passes run one after the other, so that only one
    student's activations are alive at a time.

    Args:
        detector: Config of the detector.
        semi_train_cfg: ``burn_in_iters``: iterations without pseudo-labels; ``sup_weight``,
            ``unsup_weight``; ``pseudo_label_initial_score_thr``: least score of a teacher's box;
            ``rpn_pseudo_thr``, ``cls_pseudo_thr``: for the region proposals and for the rest;
            ``min_pseudo_bbox_wh``: in pixels; ``cross``: False leaves two uncrossed pairs;
            ``sup_split``: each student sees every second labelled image; ``consistency``: weights of
            pseudo boxes, None for none. Of detectors with an RoI head: ``weight_rpn``: weigh region
            proposals too; ``bg_weight``: 'teacher' weighs negative regions by the teacher's background
            probability, None by 1; ``reg_pseudo_thr``: boxes are learned from those whose scatter is
            under it (see :func:`.box_scatter`, ``jitter_times``, ``jitter_scale``), None: from those of
            ``cls_pseudo_thr``.
        semi_test_cfg: ``predict_on``: 'teacher1' (default), 'teacher2', 'student1', 'student2' or
            'ensemble' (both teachers' boxes through ``ensemble.nms``).
        data_preprocessor: As a rule ``dict(type='mmdet.MultiBranchDataPreprocessor', ...)``.
        init_cfg: As for every mmengine module.

    Raises:
        UserError: On unknown settings, or a detector whose losses cannot be weighed.

    Example:
        >>> model = dict(type='mmext.CycleSelfTraining', detector=detector,
        ...              semi_train_cfg=dict(burn_in_iters=2000, unsup_weight=4.0))
    """

    def __init__(self, detector: dict, semi_train_cfg: dict | None = None, semi_test_cfg: dict | None = None,
                 data_preprocessor: dict | None = None, init_cfg: Any = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.semi_train_cfg = merged('semi_train_cfg', TRAIN_CFG, semi_train_cfg)
        self.semi_test_cfg = merged('semi_test_cfg', TEST_CFG, semi_test_cfg)
        choices = (*MEMBERS, 'ensemble')
        chosen = self.semi_test_cfg['predict_on']
        if chosen not in choices:
            raise UserError(f"CycleSelfTraining: predict_on cannot be '{chosen}'"
                            f'{did_you_mean(chosen, choices)} (choose from {", ".join(choices)})')
        for name in (*STUDENTS, *TEACHERS):
            setattr(self, name, mmdet_registry.MODELS.build(ConfigDict(copy.deepcopy(detector))))
        for name in TEACHERS:
            getattr(self, name).requires_grad_(False)
        consistency = self.semi_train_cfg['consistency']
        self.consistency = TASK_UTILS.build(consistency) if isinstance(consistency, dict) else consistency
        if self.consistency is not None:
            require_supported(self._head(self.student1))
        check_options(self.semi_train_cfg, self.student1)
        self.train(self.training)

    # ------------------------------------------------------------------------------------ the four

    @property
    def student(self) -> nn.Module:
        """The first student, by the name that mmdet's tools look for."""
        return self.student1

    @property
    def teacher(self) -> nn.Module:
        """The first teacher, by the name that mmdet's tools look for."""
        return self.teacher1

    def train(self, mode: bool = True) -> CycleSelfTraining:
        """Teachers stay in eval mode."""
        super().train(mode)
        for name in TEACHERS:
            if hasattr(self, name):
                getattr(self, name).eval()
        return self

    def export_detector(self, member: str | None = None) -> dict[str, Tensor]:
        """The state dict of one member, for the plain detector.

        Args:
            member: 'teacher1', 'teacher2', 'student1' or 'student2'; the one that predicts by default.
        """
        member = member or self.semi_test_cfg['predict_on']
        if member not in MEMBERS:
            raise UserError(f"export_detector: no member '{member}'{did_you_mean(member, MEMBERS)} "
                            f'(choose from {", ".join(MEMBERS)})')
        return getattr(self, member).state_dict()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any, **kwargs: Any) -> None:
        """Spread a plain detector's weights over all four, a teacher-student pair's over both pairs."""
        own = [key for key in state_dict if key.startswith(prefix)]
        for key in own:
            name = key.removeprefix(prefix)
            head, _, rest = name.partition('.')
            if head in MEMBERS or head == 'data_preprocessor':
                continue
            targets: Sequence[str] = MEMBERS
            if head in ('student', 'teacher'):
                name, targets = rest, [f'{head}1', f'{head}2']
            value = state_dict.pop(key)
            state_dict.update({f'{prefix}{target}.{name}': value for target in targets})
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    # -------------------------------------------------------------------------------------- losses

    def loss(self, batch_inputs: dict[str, Tensor], batch_data_samples: dict[str, list]) -> dict[str, Tensor]:
        """Losses of both students.

        Args:
            batch_inputs: Images of each branch, ``(B, 3, H, W)``.
            batch_data_samples: Their data samples.

        Returns:
            Losses with ``s1_sup_``, ``s1_unsup_``, ``s2_sup_`` and ``s2_unsup_`` before the detector's names;
            without the ``unsup`` ones while the burn-in lasts.
        """
        pseudo = self._pseudo_labels(batch_inputs, batch_data_samples)
        one, other = (self._student_loss(index, batch_inputs, batch_data_samples, pseudo) for index in (0, 1))
        return {**one, **other}

    def train_step(self, data: dict | tuple | list, optim_wrapper: Any) -> dict[str, Tensor]:
        """One optimizer step on both students' losses, one backward pass after the other."""
        log: dict[str, Tensor] = {}
        prepared: Any = self.data_preprocessor(data, True)
        inputs, samples = prepared['inputs'], prepared['data_samples']
        with optim_wrapper.optim_context(self):
            pseudo = self._pseudo_labels(inputs, samples)
        total = torch.zeros(())
        for index in (0, 1):
            with optim_wrapper.optim_context(self):
                losses = self._student_loss(index, inputs, samples, pseudo)
            loss, terms = self.parse_losses(losses)
            optim_wrapper.backward(optim_wrapper.scale_loss(loss))
            if index == 0:
                optim_wrapper._inner_count -= 1  # both passes are one step of a gradient accumulation
            total = total.to(loss) + loss.detach()
            log.update(terms)
        if optim_wrapper.should_update():
            optim_wrapper.step()
            optim_wrapper.zero_grad()
        return {**log, 'loss': total}

    def _in_burn_in(self) -> bool:
        info = MessageHub.get_current_instance().runtime_info
        return info.get('iter', 0) < self.semi_train_cfg['burn_in_iters']

    def _student_loss(self, index: int, inputs: dict, samples: dict,
                      pseudo: PseudoLabels | None) -> dict[str, Tensor]:
        cfg, student = self.semi_train_cfg, getattr(self, STUDENTS[index])
        own = slice(index, None, 2) if cfg['sup_split'] else slice(None)
        if not samples['sup'][own]:
            raise UserError(f"CycleSelfTraining: sup_split needs two labelled images in a batch, got "
                            f"{len(samples['sup'])}")
        losses = reweight_loss_dict(student.loss(inputs['sup'][own], samples['sup'][own]), cfg['sup_weight'])
        result = rename_loss_dict(f's{index + 1}_sup_', losses)
        if pseudo is None:
            return result
        branch = f'unsup_student{index + 1}'
        teacher = 1 - index if cfg['cross'] else index
        views = self._project(pseudo.boxes[teacher], samples[branch])
        background = None
        if cfg['bg_weight']:
            background = background_scores(getattr(self, TEACHERS[teacher]).roi_head,
                                           pseudo.features[teacher], pseudo.views, samples[branch])
        losses, count = self._pseudo_loss(student, inputs[branch], views, background)
        # Without a single pseudo-label the losses stay, at no weight: their keys must not come and go.
        losses = reweight_loss_dict(losses, cfg['unsup_weight'] if count else 0.)
        return {**result, **rename_loss_dict(f's{index + 1}_unsup_', losses)}

    def _pseudo_loss(self, student: Any, inputs: Tensor, views: list[DetDataSample],
                     background: Any) -> tuple[dict[str, Tensor], int]:
        cfg = self.semi_train_cfg
        chosen = filter_gt_instances(_copies(views), score_thr=cfg['cls_pseudo_thr'])
        count = sum(len(view.gt_instances) for view in chosen)
        if not hasattr(student, 'roi_head'):
            with self._weighted(student, chosen):
                return student.loss(inputs, chosen), count
        features = student.extract_feat(inputs)
        losses: dict[str, Tensor] = {}
        regions = filter_gt_instances(_copies(views), score_thr=cfg['rpn_pseudo_thr'])
        for view in regions:  # a region proposal has no class
            view.gt_instances.labels = torch.zeros_like(view.gt_instances.labels)
        proposal_cfg = student.train_cfg.get('rpn_proposal', student.test_cfg.rpn)
        with weighted_losses(student.rpn_head, regions) if cfg['weight_rpn'] else nullcontext():
            rpn_losses, proposals = student.rpn_head.loss_and_predict(features, regions,
                                                                      proposal_cfg=proposal_cfg)
        losses.update({name if 'rpn' in name else f'rpn_{name}': value for name, value in rpn_losses.items()})
        count += sum(len(view.gt_instances) for view in regions)
        steady = None
        if cfg['reg_pseudo_thr'] is not None:  # the boxes are learned from others than the classes
            steady = _copies(views, lambda boxes: boxes.scatter < cfg['reg_pseudo_thr'])
            count += sum(len(view.gt_instances) for view in steady)
        again = [one[:] for one in proposals]  # the head renames a field of those it gets
        with self._weighted(student, chosen, background):
            losses.update(student.roi_head.loss(features, proposals, chosen))
        if steady is not None:
            with self._weighted(student, steady):
                losses['loss_bbox'] = student.roi_head.loss(features, again, steady)['loss_bbox']
        return losses, count

    def _weighted(self, student: nn.Module, views: list[DetDataSample], background: Any = None) -> Any:
        if self.consistency is None and background is None:
            return nullcontext()
        return weighted_losses(self._head(student), views, background)

    @staticmethod
    def _head(detector: nn.Module) -> nn.Module:
        for name in ('roi_head', 'bbox_head'):
            if hasattr(detector, name):
                return getattr(detector, name)
        raise UserError(f'CycleSelfTraining: {type(detector).__name__} has neither a roi_head nor a '
                        'bbox_head')

    # ------------------------------------------------------------------------------- pseudo-labels

    @torch.no_grad()
    def _pseudo_labels(self, inputs: dict, samples: dict) -> PseudoLabels | None:
        """What both teachers find, with its weights."""
        if self._in_burn_in():
            return None
        weak, views = inputs['unsup_teacher'], samples['unsup_teacher']
        features, found = [], []
        for name in TEACHERS:
            teacher = getattr(self, name)
            if hasattr(teacher, 'roi_head'):
                features.append(teacher.extract_feat(weak))
                copies = _bare(views)
                proposals = teacher.rpn_head.predict(features[-1], copies, rescale=False)
                found.append(teacher.roi_head.predict(features[-1], proposals, copies, rescale=False))
            else:
                found.append([one.pred_instances
                              for one in teacher.predict(weak, _bare(views), rescale=False)])
        metas = [view.metainfo for view in views]
        cfg = self.semi_train_cfg
        least = cfg['pseudo_label_initial_score_thr']
        result = []
        for index in (0, 1):
            kept = [one[one.scores >= least] for one in found[index]]
            scatter = None
            if cfg['reg_pseudo_thr'] is not None:
                scatter = box_scatter(getattr(self, TEACHERS[index]).roi_head, features[index], metas, kept,
                                      cfg['jitter_times'], cfg['jitter_scale'])
            for number, weight in enumerate(self._weights(index, kept, found, features, metas)):
                one, view = kept[number], views[number]
                extra = {} if scatter is None else dict(scatter=scatter[number])
                inverse = weak.new_tensor(view.homography_matrix, dtype=torch.float64).inverse()
                kept[number] = InstanceData(
                    bboxes=bbox_project(one.bboxes, inverse.to(one.bboxes), view.ori_shape),
                    scores=one.scores, labels=one.labels, consistency=weight, **extra)
            result.append(kept)
        return PseudoLabels(result, features, views)

    def _weights(self, index: int, kept: list[InstanceData], found: list, features: list,
                 metas: list[dict]) -> list[Tensor]:
        if self.consistency is None:
            return [one.scores.new_ones(len(one)) for one in kept]
        if not features:
            return [self.consistency.match(one, peer) for one, peer in zip(kept, found[1 - index])]
        boxes = [one.bboxes for one in kept]
        own, peer = (class_scores(getattr(self, TEACHERS[which]).roi_head, features[which], metas, boxes)
                     for which in (index, 1 - index))
        return [self.consistency(one.scores, other.scores) for one, other in zip(own, peer)]

    def _project(self, pseudo: list[InstanceData], views: list[DetDataSample]) -> list[DetDataSample]:
        """Samples of a strong view whose ground truth is what the teacher found."""
        result = _bare(views)
        for sample, one in zip(result, pseudo):
            matrix = one.bboxes.new_tensor(sample.homography_matrix)
            sample.gt_instances = InstanceData(**{
                **dict(one.items()), 'bboxes': bbox_project(one.bboxes, matrix, sample.img_shape)})
        return filter_gt_instances(result, wh_thr=self.semi_train_cfg['min_pseudo_bbox_wh'])

    # ------------------------------------------------------------------------------------ the rest

    def predict(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample],
                rescale: bool = True) -> list[DetDataSample]:
        """Detections of the member that ``semi_test_cfg.predict_on`` names, or of both teachers."""
        name = self.semi_test_cfg['predict_on']
        if name != 'ensemble':
            return getattr(self, name).predict(batch_inputs, batch_data_samples, rescale=rescale)
        each = [[one.pred_instances for one in getattr(self, teacher).predict(
            batch_inputs, _bare(batch_data_samples), rescale=rescale)] for teacher in TEACHERS]
        cfg = self.semi_test_cfg['ensemble']
        for sample, one, other in zip(batch_data_samples, *each):
            both = InstanceData.cat([one, other])
            if not len(both):
                sample.pred_instances = both
                continue
            boxes, keep = batched_nms(both.bboxes, both.scores, both.labels, dict(cfg['nms']))
            both = both[keep]
            both.scores = boxes[:, -1]
            sample.pred_instances = both[:cfg['max_per_img']]
        return batch_data_samples

    def _member(self) -> Any:
        name = self.semi_test_cfg['predict_on']
        return getattr(self, 'teacher1' if name == 'ensemble' else name)

    def _forward(self, batch_inputs: Tensor, batch_data_samples: Any = None) -> Any:
        return self._member()._forward(batch_inputs, batch_data_samples)

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Features of the member that predicts."""
        return self._member().extract_feat(batch_inputs)


def _bare(samples: Sequence[DetDataSample]) -> list[DetDataSample]:
    """New samples with the same meta information and nothing else."""
    return [DetDataSample(metainfo=sample.metainfo) for sample in samples]


def _copies(samples: Sequence[DetDataSample],
            choose: Callable[[InstanceData], Tensor] | None = None) -> list[DetDataSample]:
    """New samples, with all boxes or the chosen ones, that can be filtered; the tensors are shared."""
    result = _bare(samples)
    for new, old in zip(result, samples):
        boxes = old.gt_instances
        new.gt_instances = boxes[torch.arange(len(boxes)) if choose is None else choose(boxes)]
    return result
