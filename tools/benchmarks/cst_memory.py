"""Peak memory of a training step of CST: the students' backward passes in turn, at once, and one pair.

    python tools/benchmarks/cst_memory.py --out docs/benchmarks/cst.md
    python tools/benchmarks/cst_memory.py --cases 'relation*' --size 320

Each case first asserts that both students' gradients are the same in turn and at once. Then every form
takes a step in a process of its own; what the process needs on top of the four networks is its peak,
the gradients included.
"""
from __future__ import annotations

import argparse
import copy
import fnmatch
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from mmext import hosts
from mmext.apis.writers import replacing
from mmext.cli.config import load_config
from mmext.engine.analysis import versus
from mmext.registry import MODELS

_FPN = {'backbone.depth': 18, 'neck.in_channels': [64, 128, 256, 512]}
#: Configs of detectors and changes: ResNet-18 in place of 50, and what lets them find something untrained.
DETECTORS: dict[str, tuple[str, dict[str, Any]]] = {
    'Faster R-CNN R18': ('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', {
        **_FPN, 'test_cfg.rcnn.score_thr': 0.0, 'test_cfg.rcnn.max_per_img': 20}),
    'RetinaNet R18': ('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', {
        **_FPN, 'test_cfg.score_thr': 0.0, 'test_cfg.max_per_img': 20}),
    'FCOS R18': ('mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py', {
        **_FPN, 'test_cfg.score_thr': 0.0, 'test_cfg.max_per_img': 20}),
    'ATSS, toy': ('mmext::emov2/atss_emov2_fpn_toy.py', {
        'test_cfg.score_thr': 0.0, 'test_cfg.max_per_img': 20}),
    'Relation-DETR, toy': ('mmext::relation_detr/relation-detr_emov2_toy.py', {
        'test_cfg.max_per_img': 20}),
    'Relation-DETR R18': ('mmext::relation_detr/relation-detr_r50_8xb2-12e_coco.py', {
        'backbone.depth': 18, 'neck.in_channels': [128, 256, 512], 'num_queries': 300,
        'hybrid_cfg.num_queries': 500, 'test_cfg.max_per_img': 20}),
}
FORMS = {'in turn': 'sequential', 'at once': 'joint', 'one pair': 'pair'}
#: Gradients in turn and at once may differ by this share of the largest.
TOLERANCE = 1e-4
HEADING = """# Memory of Cycle Self-Training

Made by `python tools/benchmarks/cst_memory.py`. A training step of
[mmext.CycleSelfTraining](../../configs/cst/README.md) on {images} labelled and {images} unlabelled images of
{size} x {size} pixels, weights random. Peak memory on top of the four networks' weights: activations and
gradients. *In turn* is what a single process does: the first student's backward pass is over before the
second student's losses are computed. *At once* adds both students' losses and goes back once, which is
what DDP does. *One pair* trains one student. The gradients in turn and at once are asserted to be equal
first; the column says how far apart they are, relative to the largest.

"""


def build(name: str) -> Any:
    """The four networks, the same every time; teachers and students differ."""
    config, changes = DETECTORS[name]
    detector = load_config(config).model
    wrapped = Config(dict(model=detector))
    wrapped.merge_from_dict({f'model.{key}': value for key, value in changes.items()})
    wrapped.model.backbone.init_cfg = None
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(dict(
            type='mmext.CycleSelfTraining', detector=wrapped.model,
            semi_train_cfg=dict(burn_in_iters=0, pseudo_label_initial_score_thr=0., rpn_pseudo_thr=0.,
                                cls_pseudo_thr=0.),
            data_preprocessor=dict(type='MultiBranchDataPreprocessor',
                                   data_preprocessor=dict(type='DetDataPreprocessor'))))
    model.init_weights()
    return model.train()


def batch(images: int, size: int) -> dict[str, dict[str, list]]:
    """Images of all four branches; the labelled ones have five boxes each."""
    dice = np.random.RandomState(0)
    data: dict[str, dict[str, list]] = dict(inputs={}, data_samples={})
    for branch in ('sup', 'unsup_teacher', 'unsup_student1', 'unsup_student2'):
        data['inputs'][branch] = [torch.from_numpy(dice.uniform(0, 255, (3, size, size))).float()
                                  for _ in range(images)]
        data['data_samples'][branch] = []
        for _ in range(images):
            sample = DetDataSample(metainfo=dict(
                img_shape=(size, size), ori_shape=(size, size), batch_input_shape=(size, size),
                pad_shape=(size, size), scale_factor=(1., 1.),
                homography_matrix=np.eye(3, dtype=np.float32)))
            corner = torch.from_numpy(dice.uniform(0, size / 2, (5, 2))).float()
            extent = torch.from_numpy(dice.uniform(size / 8, size / 2, (5, 2))).float()
            sample.gt_instances = InstanceData(bboxes=torch.cat([corner, corner + extent], 1),
                                               labels=torch.from_numpy(dice.randint(0, 5, 5)))
            data['data_samples'][branch].append(sample)
    return data


class _NoStep(OptimWrapper):
    """Leaves weights and gradients as the backward passes have left them."""

    def step(self, **kwargs: Any) -> None:
        """Nothing."""

    def zero_grad(self, **kwargs: Any) -> None:
        """Nothing."""


def _sequential(model: Any, data: dict) -> None:
    model.train_step(data, _NoStep(torch.optim.SGD(model.parameters(), lr=0.)))


def _joint(model: Any, data: dict) -> None:
    prepared = model.data_preprocessor(data, True)
    model.parse_losses(model.loss(prepared['inputs'], prepared['data_samples']))[0].backward()


def _pair(model: Any, data: dict) -> None:
    model.student2.requires_grad_(False)
    prepared = model.data_preprocessor(data, True)
    inputs, samples = prepared['inputs'], prepared['data_samples']
    losses = model._student_loss(0, inputs, samples, model._pseudo_labels(inputs, samples))
    model.parse_losses(losses)[0].backward()


STEPS: dict[str, Callable[[Any, dict], None]] = dict(sequential=_sequential, joint=_joint, pair=_pair)


def take(form: str, model: Any, data: dict) -> None:
    """A step from the same random numbers."""
    MessageHub.get_current_instance().update_info('iter', 0)
    torch.manual_seed(1)
    np.random.seed(1)
    with DefaultScope.overwrite_default_scope('mmdet'):
        STEPS[form](model, copy.deepcopy(data))


def difference(model: Any, images: int, size: int) -> float:
    """Largest difference of any gradient in turn and at once, relative to the largest of all.

    Raises:
        AssertionError: If it is more than :data:`TOLERANCE`, or a student got no gradient.
    """
    found = []
    for form in ('sequential', 'joint'):
        model.zero_grad(set_to_none=True)
        take(form, model, batch(images, size))
        found.append({key: value.grad for key, value in model.named_parameters() if value.grad is not None})
    assert found[0].keys() == found[1].keys()
    assert {key.partition('.')[0] for key in found[0]} == {'student1', 'student2'}
    largest = max(float(value.abs().max()) for value in found[1].values())
    worst = max(float((found[0][key] - value).abs().max()) for key, value in found[1].items()) / largest
    if not worst <= TOLERANCE:
        raise AssertionError(f'gradients differ by {worst:.2g} of the largest')
    return worst


def peak(model: Any, images: int, size: int, form: str) -> tuple[int, int]:
    """Bytes that a step needs on top of the weights, and how many of them are gradients."""
    data = batch(images, size)
    with torch.no_grad():
        model.teacher1.extract_feat(torch.rand(1, 3, 64, 64))  # what the first call loads
    with versus.peak('cpu') as found:
        take(form, model, data)
    gradients = sum(value.grad.numel() * value.grad.element_size() for value in model.parameters()
                    if value.grad is not None)
    return found[0], gradients


def main() -> int:
    """Measure and print the table; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--cases', default='*', help='pattern of the detectors')
    parser.add_argument('--images', type=int, default=1, help='of each branch')
    parser.add_argument('--size', type=int, default=256, help='pixels of a side')
    parser.add_argument('--out', type=Path, help='Markdown file to write')
    args = parser.parse_args()
    chosen = [name for name in DETECTORS if fnmatch.fnmatch(name.lower(), args.cases.lower())]
    if not chosen:
        print(f"--cases '{args.cases}' fits none of: {', '.join(DETECTORS)}", file=sys.stderr)
        return 2
    if 'MALLOC_MMAP_THRESHOLD_' not in os.environ:
        # Small blocks too go back to the system as soon as they are free: what is resident is in use.
        os.environ.update(MALLOC_MMAP_THRESHOLD_='65536', MALLOC_TRIM_THRESHOLD_='65536')
        os.execv(sys.executable, [sys.executable, *sys.argv])
    hosts.repair()
    torch.set_num_threads(1)
    MMLogger.get_current_instance().setLevel('ERROR')  # no report of every parameter's initialisation
    header = ['detector', *(f'{title}, MiB' for title in FORMS), 'gradients in turn, one pair, MiB',
              'in turn / at once', 'in turn / one pair', 'gradients apart']
    lines = [f"| {' | '.join(header)} |", '|---|' + '--:|' * (len(header) - 1)]
    print('\n'.join(lines), flush=True)
    for name in chosen:
        model = build(name)
        largest = versus.in_child(difference, model, args.images, args.size, start='fork')
        peaks = {form: versus.in_child(peak, model, args.images, args.size, form, start='fork')
                 for form in FORMS.values()}
        took = {form: value / 2**20 for form, (value, _) in peaks.items()}
        gradients = [peaks[form][1] / 2**20 for form in ('sequential', 'pair')]
        cells = [name, *(f'{took[form]:,.0f}' for form in FORMS.values()),
                 f'{gradients[0]:,.0f}, {gradients[1]:,.0f}', f"**{took['sequential'] / took['joint']:.2f}**",
                 f"{took['sequential'] / took['pair']:.2f}", f'{largest:.0e}']
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    if args.out:
        heading = HEADING.format(images=args.images, size=args.size) + versus.machine('cpu')
        text = '\n\n'.join([heading, '\n'.join(lines)])
        with replacing(args.out) as temporary:
            temporary.write_text(text + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
