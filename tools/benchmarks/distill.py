"""What distillation costs: DisWOT's score, Guidance's alignment, the teacher of a Distiller.

    python tools/benchmarks/distill.py                     # all tables, about 2 minutes
    python tools/benchmarks/distill.py --parts teacher     # one of: diswot, cka, teacher, memory
    python tools/benchmarks/distill.py --device cuda --out docs/benchmarks/distill_gpu.md

Every row first asserts that both forms give the same values, then times them in turn (best of several
rounds). Peak memory is that of one pass in a process of its own.
"""
from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from mmengine.registry import DefaultScope
from torch import Tensor
from torch.nn import functional as F

from mmext import hosts
from mmext.apis.model import quiet_hosts
from mmext.engine.analysis import versus
from mmext.models.distillers.diswot import classifier_gradient, semantic_score
from mmext.models.distillers.losses.guidance import GuidanceLoss, cka, even_mapping
from mmext.registry import MODELS

ROUNDS = 3
Row = tuple[str, float, float, str]


def best(ours: Callable[[], object], theirs: Callable[[], object], device: str,
         busy: bool) -> tuple[float, float]:
    """Best milliseconds of each, measured in turn."""
    now = time.process_time if busy else time.perf_counter
    found = [float('inf')] * 2
    for number in range(ROUNDS + 1):
        for index, call in enumerate((ours, theirs)):
            if device == 'cuda':
                torch.cuda.synchronize()
            start = now()
            call()
            if device == 'cuda':
                torch.cuda.synchronize()
            if number:  # the first is a warm-up
                found[index] = min(found[index], (now() - start) * 1000)
    return found[0], found[1]


def same(ours: Tensor, theirs: Tensor, tolerance: float = 1e-3) -> str:
    """Their relative difference, small or an error."""
    apart = float((ours.float() - theirs.float()).abs().max() / theirs.float().abs().max())
    if not apart <= tolerance:
        raise AssertionError(f'results differ by {apart:.2g} of their largest value')
    return f'{apart:.0e}'


def built(cfg: dict[str, Any], device: str) -> Any:
    """A model in mmpretrain's scope."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(cfg).to(device)


# -------------------------------------------------------------------------------------------- DisWOT


def matrices(student: Tensor, teacher: Tensor) -> Tensor:
    """The semantic score by its definition: a C x C matrix of each class."""
    own, other = (F.normalize(one[:, :, None] @ one[:, None, :], dim=-1) for one in (student, teacher))
    return -(own - other).square().sum() / student.numel()


def diswot(device: str, busy: bool) -> list[Row]:
    torch.manual_seed(0)
    rows: list[Row] = []
    for classes, width in ((100, 64), (200, 512)):
        pair = [torch.randn(classes, width, device=device).relu() for _ in range(2)]
        apart = same(semantic_score(*pair), matrices(*pair))
        times = best(partial(semantic_score, *pair), partial(matrices, *pair), device, busy)
        rows.append((f'class relations, {classes} classes, {width} channels', *times, apart))
    network = built(dict(
        type='ImageClassifier', backbone=dict(type='mmext.CIFARResNet', depths=[9, 9, 9]),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=100, in_channels=64)), device).train()
    images, labels = torch.randn(64, 3, 32, 32, device=device), torch.randint(0, 100, (64, ), device=device)

    def one_pass() -> Tensor:
        with torch.no_grad():
            pooled = network.extract_feat(images)[-1]
            return classifier_gradient(network.head.fc(pooled), labels, pooled)

    def with_backward() -> Tensor:
        network.zero_grad()
        F.cross_entropy(network(images, mode='tensor'), labels).backward()
        return network.head.fc.weight.grad

    apart = same(one_pass(), with_backward())
    return [*rows, ("classifier's gradient, ResNet-56, 64 images", *best(one_pass, with_backward,
                                                                        device, busy), apart)]


# ------------------------------------------------------------------------------------------ Guidance


def straightforward_cka(features: Tensor, others: Tensor) -> Tensor:
    """As the authors write it: every HSIC rebuilds and centres its matrices by products."""
    count = len(features)
    centring = torch.eye(count, device=features.device) - 1 / count

    def hsic(one: Tensor, other: Tensor) -> Tensor:
        grams = (each.flatten(1) @ each.flatten(1).t() for each in (one, other))
        return torch.stack([centring @ gram @ centring for gram in grams]).prod(0).sum()

    return hsic(features, others) / (hsic(features, features).sqrt() * hsic(others, others).sqrt())


def cka_rows(device: str, busy: bool) -> list[Row]:
    torch.manual_seed(0)
    pair = torch.randn(256, 20000, device=device), torch.randn(256, 8000, device=device)
    rows: list[Row] = [('CKA of one pair, 256 images, 20,000 and 8,000 values', *best(
        partial(cka, *pair), partial(straightforward_cka, *pair), device, busy),
        same(cka(*pair), straightforward_cka(*pair)))]
    own = [torch.randn(128, 1024, device=device, requires_grad=True) for _ in range(13)]
    guide = [torch.randn(128, width, device=device) for width in (50176, 25088, 12544, 6272, 512)
             for _ in range(4)]
    loss, context = GuidanceLoss(drop_last=False), dict(inputs=own[0], reduced=True)
    mapping = even_mapping(len(guide), len(own))

    def ours() -> Tensor:
        reduce = loss.reducer(128)
        with torch.no_grad():
            matrices = [reduce(one) for one in guide]
        value = loss(own, matrices, context)
        value.backward()
        return value.detach()

    def theirs() -> Tensor:
        step = (len(own) - 1) / (len(guide) - 1)
        found = {min(round(index * step), len(own) - 1): 1 - straightforward_cka(
            own[min(round(index * step), len(own) - 1)], one) for index, one in enumerate(guide)}
        value = torch.stack(list(found.values())).sum()
        value.backward()
        return value.detach()

    assert len(mapping) == len(own)
    rows.append(('loss and gradient of 13 layers, 20 of the guide, 128 images',
                 *best(ours, theirs, device, busy), same(ours(), theirs())))
    return rows


# ------------------------------------------------------------------------------------------- teacher


def distiller(device: str, **teacher: Any) -> Any:
    """ResNet-18 learns the third stage's map of ResNet-50."""
    def network(depth: int, width: int) -> dict[str, Any]:
        return dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=depth),
                    neck=dict(type='GlobalAveragePooling'),
                    head=dict(type='LinearClsHead', num_classes=1000, in_channels=width))

    torch.manual_seed(0)
    model = built(dict(
        type='mmext.Distiller', student=network(18, 512),
        teachers=dict(big=dict(model=network(50, 2048), random=True, **teacher)),
        records=dict(s=dict(net='student', module='backbone.layer3'),
                     t=dict(net='big', module='backbone.layer3')),
        connectors=dict(p=dict(input='s', layer=dict(type='mmext.ConvConnector', in_channels=256,
                                                     out_channels=1024))),
        losses=dict(loss_pkd=dict(loss=dict(type='mmext.PKDLoss'), pred='p', target='t'))), device)
    with quiet_hosts():
        model.prepare_teachers()
    return model.train()


def teacher_rows(device: str, busy: bool) -> list[Row]:
    images = torch.randn(4, 3, 224, 224, device=device)
    samples = [SimpleNamespace(metainfo=dict(img_path=f'{index}.png')) for index in range(len(images))]

    def pass_of(**teacher: Any) -> Callable[[], Tensor]:
        model = distiller(device, **teacher)  # held by the function
        return lambda: model.networks['big'].run(images, samples)['t']

    whole = pass_of(early_stop=False)
    rows: list[Row] = []
    for name, cfg, tolerance in (('early stop', {}, 1e-6), ('early stop, bf16', dict(dtype='bf16'), 0.1),
                                 ('cache in memory', dict(cache=dict(where='ram')), 1e-6),
                                 ('cache in memory, bf16', dict(cache=dict(where='ram', dtype='bf16')),
                                  0.02)):
        one = pass_of(**cfg)
        one()
        apart = same(one(), whole(), tolerance)
        rows.append((f'{name}', *best(one, whole, device, busy), apart))
    return rows


# -------------------------------------------------------------------------------------------- memory


def _guide_pass(reduced: bool, device: str) -> tuple[int, int]:
    """Bytes of the pass at its peak, and of what is kept of it."""
    hosts.repair()
    guide = built(dict(
        type='mmext.Distiller',
        student=dict(type='ImageClassifier', backbone=dict(type='mmext.FullyConnectedNet', arch=[64] * 8,
                                                           image_size=112),
                     head=dict(type='LinearClsHead', num_classes=10, in_channels=64)),
        teachers=dict(guide=dict(random=True, early_stop=False, model=dict(
            type='ImageClassifier', backbone=dict(type='ResNet', depth=18),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=10, in_channels=512)))),
        records=dict(s=dict(net='student', types=['Linear']),
                     t=dict(net='guide', types=['Conv2d', 'Linear'])),
        losses=dict(loss_guidance=dict(loss=dict(type='mmext.GuidanceLoss'), pred='s', target='t'))), device)
    teacher = guide.networks['guide']
    for count in (1, 32):  # the first allocates what stays
        images = torch.randn(count, 3, 112, 112, device=device)
        with versus.peak(device) as found:
            kept = teacher.run(images, None, reduce=guide._reducers('guide', count) if reduced else None)
        held = sum(one.numel() * one.element_size() for one in kept['t'])
    return found[0], held


def memory_rows(device: str, busy: bool) -> list[tuple[str, str, str]]:
    found = [versus.in_child(_guide_pass, reduced, device) for reduced in (True, False)]
    (peak, held), (plain_peak, plain_held) = (tuple(f'{one / 2**20:.1f}' for one in some) for some in found)
    return [('peak of the pass, MiB', peak, plain_peak), ('held until the loss, MiB', held, plain_held)]


HEADING = """# Distillation

Made by `python tools/benchmarks/distill.py`. Milliseconds; ref is the straightforward form: the definition
with C x C matrices and a backward pass (DisWOT), every HSIC rebuilt and centred by matrix products and every
pair computed, also those that the mapping overwrites (Guidance), the whole pass of the teacher each time."""
PARTS: dict[str, tuple[str, Callable[[str, bool], list[Any]]]] = {
    'diswot': ('DisWOT: a score without backward pass', diswot),
    'cka': ('Guidance: alignment of layers', cka_rows),
    'teacher': ("A Distiller's teacher: ResNet-50 recorded after its third stage, 4 images of 224 pixels",
                teacher_rows),
    'memory': ('Guidance: a ResNet-18 as the guide, 32 images of 112 pixels', memory_rows),
}


def table(part: str, device: str, busy: bool) -> list[str]:
    """The lines of a part."""
    title, measure = PARTS[part]
    rows = measure(device, busy)
    if part == 'memory':
        return [f'## {title}', '', '| | matrices made while it runs | all its maps kept (ref) |',
                '|---|--:|--:|', *(f'| {" | ".join(row)} |' for row in rows), '']
    return [f'## {title}', '', '| case | ms | ref ms | x faster | difference |', '|---|--:|--:|--:|--:|',
            *(f'| {name} | {ours:.2f} | {theirs:.2f} | **{theirs / ours:.1f}** | {apart} |'
              for name, ours, theirs, apart in rows), '']


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--parts', nargs='+', choices=list(PARTS), default=list(PARTS))
    parser.add_argument('--device', default='cpu', choices=('cpu', 'cuda'))
    parser.add_argument('--busy', action='store_true', help="count the processor's time, for a busy machine")
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--out', type=Path, help='Markdown file to write')
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    hosts.repair()
    lines = [versus.machine(args.device) + (', processor time' if args.busy else ''), '']
    print(lines[0], flush=True)
    for part in args.parts:
        new = table(part, args.device, args.busy)
        lines += new
        print('\n'.join(new), flush=True)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        temporary = args.out.with_suffix('.tmp')
        temporary.write_text(f'{HEADING}\n\n' + '\n'.join(lines).rstrip() + '\n')
        os.replace(temporary, args.out)
    return 0


if __name__ == '__main__':
    sys.exit(main())
