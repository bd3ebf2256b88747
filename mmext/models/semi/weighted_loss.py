"""Let pseudo boxes weigh less in the losses of any mmdet head.

The weights travel with the boxes (``gt_instances.consistency``). While a loss is computed, the
step in which the head makes its targets is watched: what was assigned to box k has its label and
box weights multiplied by w_k. Background keeps 1 and the normalisers stay the head's own, so that
a weight is a down-weighting that nothing takes back.
"""
from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from mmdet.models.dense_heads import AnchorHead, ATSSHead, DETRHead, FCOSHead, GFLHead
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ...errors import UserError


@contextmanager
def _patched(owner: Any, name: str, make: Callable[[Callable], Callable]) -> Iterator[None]:
    """Put ``make(original)`` in the place of a method of one object, for a while."""
    had = name in vars(owner)
    before = getattr(owner, name)
    vars(owner)[name] = make(before)
    try:
        yield
    finally:
        if had:
            vars(owner)[name] = before
        else:
            del vars(owner)[name]


def weigh_roi_targets(targets: Sequence[Tensor], assigned: Sequence[Tensor], sizes: Sequence[int],
                      weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Multiply the weights of positive regions by those of their pseudo boxes.

    Args:
        targets: ``labels (R, )``, ``label_weights (R, )``, ``bbox_targets (R, 4)`` and
            ``bbox_weights (R, 4)`` of all images, an image's positives first.
        assigned: For each image, the pseudo boxes ``(P, )`` that its positives belong to.
        sizes: Number of regions of each image.
        weights: For each image, the weights of its pseudo boxes.
    """
    labels, label_weights, bbox_targets, bbox_weights = targets
    label_weights, bbox_weights = label_weights.clone(), bbox_weights.clone()
    start = 0
    for index, size, weight in zip(assigned, sizes, weights):
        positives = slice(start, start + len(index))
        # The head counts regions of positive weight: a box that weighs nothing is still one.
        label_weights[positives] *= weight[index].clamp(min=torch.finfo(weight.dtype).tiny)
        bbox_weights[positives] *= weight[index][:, None]
        start += size
    return labels, label_weights, bbox_targets, bbox_weights


def _roi(head: StandardRoIHead, weights: list[Tensor],
         background: Callable[[Sequence[Tensor]], list[Tensor]] | None) -> Iterator[Any]:
    def make(get_targets: Callable) -> Callable:
        classes = get_targets.__self__.num_classes  # type: ignore[attr-defined]

        def weighed(sampling_results: list, rcnn_train_cfg: Any, concat: bool = True) -> Any:
            if not concat:
                raise UserError('CycleSelfTraining: this RoI head does not make its targets in one piece')
            targets = weigh_roi_targets(
                get_targets(sampling_results, rcnn_train_cfg, concat=True),
                [one.pos_assigned_gt_inds for one in sampling_results],
                [len(one.pos_priors) + len(one.neg_priors) for one in sampling_results], weights)
            if background is not None:
                negatives = targets[0] == classes
                scores = background([one.neg_priors for one in sampling_results])
                targets[1][negatives] *= torch.cat(scores).to(targets[1])
            return targets
        return weighed

    heads = head.bbox_head if isinstance(head.bbox_head, nn.ModuleList) else [head.bbox_head]
    for bbox_head in heads:
        yield _patched(bbox_head, 'get_targets', make)


def _of(arguments: Sequence[Any]) -> Tensor:
    """The weights that travel with the ground truth among a method's arguments."""
    return next(one.consistency for one in arguments
                if isinstance(one, InstanceData) and 'consistency' in one)


def _anchor(head: AnchorHead) -> Iterator[Any]:
    def make(single: Callable) -> Callable:
        def weighed(*args: Any, **kwargs: Any) -> tuple:
            weights = _of([*args, *kwargs.values()])
            result = list(single(*args, **kwargs))
            sampling = result[-1]
            # labels, label_weights, bbox_targets, bbox_weights, positives, negatives, sampling
            labels, label_weights, bbox_weights = result[-7], result[-6], result[-4]
            # Targets may have been spread over all anchors; the order of the positives stays.
            positive = ((labels >= 0) & (labels < head.num_classes)).nonzero().squeeze(1)
            order = sampling.pos_inds.argsort()
            factor = weights[sampling.pos_assigned_gt_inds[order]]
            label_weights[positive] *= factor
            bbox_weights[positive] *= factor[:, None] if bbox_weights.ndim > 1 else factor
            return tuple(result)
        return weighed

    yield _patched(head, '_get_targets_single', make)
    if not isinstance(head, (ATSSHead, GFLHead)):
        return

    # These two weigh boxes by their own quality and leave bbox_weights aside.
    found: list[Tensor] = []
    full = head.train_cfg['pos_weight'] if head.train_cfg.get('pos_weight', -1) > 0 else 1

    def level(single: Callable) -> Callable:
        signature = inspect.signature(single)

        def watched(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs).arguments
            labels = given['labels'].reshape(-1)
            positive = (labels >= 0) & (labels < head.num_classes)
            found[:] = [given['label_weights'].reshape(-1)[positive] / full]
            return single(*args, **kwargs)
        return watched

    def weigh(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        return args, {**kwargs, 'weight': kwargs['weight'] * found[0]}

    yield _patched(head, 'loss_by_feat_single', level)
    yield _hook(head.loss_bbox, weigh)


def _detr(head: DETRHead) -> Iterator[Any]:
    assigned: list[Tensor] = []

    def keep(assign: Callable) -> Callable:
        def kept(*args: Any, **kwargs: Any) -> Any:
            result = assign(*args, **kwargs)
            assigned[:] = [result.gt_inds]
            return result
        return kept

    def weigh(result: tuple, factor: Tensor) -> tuple:
        _, label_weights, _, bbox_weights, positives, *_ = result
        label_weights[positives] *= factor
        bbox_weights[positives] *= factor[:, None]
        return result

    def queries(single: Callable) -> Callable:
        def weighed(*args: Any, **kwargs: Any) -> tuple:
            result = single(*args, **kwargs)
            return weigh(result, _of([*args, *kwargs.values()])[assigned[0][result[4]] - 1])
        return weighed

    def denoising(single: Callable) -> Callable:
        def weighed(*args: Any, **kwargs: Any) -> tuple:
            result, weights = single(*args, **kwargs), _of([*args, *kwargs.values()])
            groups = len(result[4]) // max(len(weights), 1)
            return weigh(result, weights.repeat(groups))
        return weighed

    yield _patched(head.assigner, 'assign', keep)
    yield _patched(head, '_get_targets_single', queries)
    if hasattr(head, '_get_dn_targets_single'):
        yield _patched(head, '_get_dn_targets_single', denoising)


def _fcos(head: FCOSHead, weights: list[Tensor]) -> Iterator[Any]:
    """FCOS keeps no weights: its losses are handed some."""
    found: dict[str, Tensor] = {}
    background = 10**9

    def make(get_targets: Callable) -> Callable:
        def watched(points: list[Tensor], instances: list[InstanceData]) -> Any:
            # Asked again with the number of each box for its label, it says what went where.
            numbered, start = [], 0
            for one in instances:
                numbered.append(InstanceData(bboxes=one.bboxes, labels=torch.arange(
                    start, start + len(one), device=one.bboxes.device)))
                start += len(one)
            classes, head.num_classes = head.num_classes, background
            try:
                numbers = torch.cat(get_targets(points, numbered)[0])
            finally:
                head.num_classes = classes
            positive = numbers < background
            weight = torch.cat(weights)
            found['positive'] = weight[numbers[positive]]
            found['all'] = weight.new_ones(len(numbers))
            found['all'][positive] = found['positive']
            return get_targets(points, instances)
        return watched

    def hooked(loss: nn.Module, name: str) -> Any:
        def weigh(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
            weight = kwargs.get('weight')
            return args, {**kwargs, 'weight': found[name] if weight is None else weight * found[name]}
        return _hook(loss, weigh)

    yield _patched(head, 'get_targets', make)
    yield hooked(head.loss_cls, 'all')
    yield hooked(head.loss_bbox, 'positive')


@contextmanager
def _hook(module: nn.Module, function: Callable) -> Iterator[None]:
    handle = module.register_forward_pre_hook(function, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def require_supported(head: nn.Module) -> None:
    """Refuse a head whose losses cannot be weighed box by box.

    Raises:
        UserError: Names the kinds that can.
    """
    kinds = (StandardRoIHead, DETRHead, AnchorHead, FCOSHead)
    if not isinstance(head, kinds):
        raise UserError(f'CycleSelfTraining cannot weigh the losses of {type(head).__name__}; expected one '
                        f'of {", ".join(kind.__name__ for kind in kinds)} or a class made from it, or '
                        'semi_train_cfg.consistency=None')


@contextmanager
def weighted_losses(head: nn.Module, data_samples: Sequence[DetDataSample],
                    background: Callable[[Sequence[Tensor]], list[Tensor]] | None = None) -> Iterator[None]:
    """While the block runs, ``head`` weighs what it assigns to ``gt_instances`` by their ``consistency``.

    Args:
        head: An RoI head or a dense head of mmdet.
        data_samples: What the losses are about to be computed for.
        background: For RoI heads, weights (N, ) of each image's negative regions (N, 4); 1 by default.

    Raises:
        UserError: If the head is of no known kind.
    """
    require_supported(head)
    weights = [sample.gt_instances.consistency for sample in data_samples]
    if isinstance(head, StandardRoIHead):
        contexts = _roi(head, weights, background)
    elif isinstance(head, DETRHead):
        contexts = _detr(head)
    elif isinstance(head, FCOSHead):
        contexts = _fcos(head, weights)
    else:
        contexts = _anchor(head)
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        yield
