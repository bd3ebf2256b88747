"""The position relation against the straightforward formulation (all sine features, 1x1 convolution).

    python tools/benchmarks/position_relation.py
    python tools/benchmarks/position_relation.py --device cuda --out docs/benchmarks/position_relation_gpu.md

A case is one decoder layer's bias for a number of queries, with denoising groups in front or without.
Each case first asserts that both give the same bias and gradient, then times a training step and a
forward pass without gradient (best of several rounds, taken in turn) and measures the peak memory of a
training step, each in a process of its own. On a GPU with Triton the fused kernels have rows of their own.
"""
from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from mmext.engine.analysis.versus import in_child, machine, peak, seconds
from mmext.ops.kernels import triton_importable
from mmext.ops.position_relation import box_differences, position_relation

HEADS, FEATURES = 8, 16


@dataclass(frozen=True)
class Case:
    """``matching`` queries of one image, behind ``groups`` denoising groups of ``size`` queries."""

    matching: int
    groups: int = 0
    size: int = 0

    @property
    def total(self) -> int:
        """Rows and columns of the bias."""
        return self.matching + self.groups * self.size

    def inputs(self, device: str) -> tuple[Tensor, Tensor, Tensor | None]:
        """Boxes of two layers and the denoising mask, the same every time."""
        torch.manual_seed(0)
        src = torch.rand(1, self.total, 4) * torch.tensor([1, 1, 0.3, 0.3]) + 0.01
        tgt = (src + 0.01 * torch.randn_like(src)).clamp(min=1e-3)
        mask = None
        if self.groups:
            group = torch.arange(self.total) // self.size
            group[self.groups * self.size:] = self.groups
            mask = (group[:, None] != group) & ((group != self.groups) | (group[:, None] == self.groups))
            mask[:self.groups * self.size, self.groups * self.size:] = False
            mask = mask.to(device)
        return src.to(device), tgt.to(device), mask


CASES = {
    '300': Case(300), '300 with denoising': Case(300, 5, 40),
    '900': Case(900), '900 with denoising': Case(900, 5, 40),
    '1100': Case(1100), '1100 with denoising': Case(1100, 5, 40),
}


class Straightforward(nn.Module):
    """Every feature of every pair, then a 1x1 convolution, ReLU and the mask."""

    def __init__(self, proj: nn.Conv2d) -> None:
        super().__init__()
        self.proj = proj

    def forward(self, src: Tensor, tgt: Tensor, mask: Tensor | None) -> Tensor:
        with torch.no_grad():
            step = torch.arange(FEATURES // 2, device=src.device, dtype=src.dtype)
            waves = 10000.**(2 * step / FEATURES)
            phases = box_differences(src, tgt).unsqueeze(-1) * 100 / waves
            features = torch.stack((phases.sin(), phases.cos()), dim=-1).flatten(3).permute(0, 3, 1, 2)
        out = self.proj(features).relu()
        return out if mask is None else out.masked_fill(mask, float('-inf'))


class Ours(nn.Module):
    """What :class:`mmext.PositionRelation` calls."""

    triton = False

    def __init__(self, proj: nn.Conv2d) -> None:
        super().__init__()
        self.proj = proj

    def forward(self, src: Tensor, tgt: Tensor, mask: Tensor | None) -> Tensor:
        assert self.proj.bias is not None
        return position_relation(src, tgt, self.proj.weight.flatten(1), self.proj.bias, mask=mask,
                                 triton=self.triton)


class Fused(Ours):
    """The Triton kernels of it."""

    triton = True


def build(kind: type[nn.Module], device: str) -> nn.Module:
    """One of the two, with the same weights."""
    torch.manual_seed(1)
    return kind(nn.Conv2d(4 * FEATURES, HEADS, 1)).to(device)


def step(module: nn.Module, inputs: tuple[Tensor, Tensor, Tensor | None]) -> Tensor:
    """Forward and backward of one bias."""
    bias = module(*inputs)
    bias.backward(torch.ones_like(bias))
    return bias


def assert_equal(case: Case, device: str, ours: type[Ours]) -> float:
    """Largest difference of bias and gradients, relative to their largest value.

    In double precision, which the kernels do not have: theirs is the error of single precision.
    """
    found = []
    for kind in (ours, Straightforward):
        dtype = torch.float32 if kind is Fused else torch.float64
        module = build(kind, device).to(dtype)
        src, tgt, mask = case.inputs(device)
        bias = step(module, (src.to(dtype), tgt.to(dtype), mask))
        grads = [parameter.grad for parameter in module.parameters()]
        found.append((bias.masked_fill(bias.isneginf(), 0), *grads))
    worst = max(float((one - other).detach().abs().max() / other.detach().abs().max())
                for one, other in zip(*found))
    if not worst <= (1e-4 if ours is Fused else 1e-9):
        raise AssertionError(f'results differ by {worst:.2g} of their largest value')
    return worst


def timings(case: Case, device: str, kind: type[Ours], rounds: int, busy: bool) -> list[list[float]]:
    """Best seconds of a training step and of a forward pass, ours and the straightforward one's."""
    inputs = case.inputs(device)
    modules = [build(kind, device), build(Straightforward, device)]
    best = [[float('inf')] * 2, [float('inf')] * 2]
    for _ in range(rounds):
        for index, module in enumerate(modules):
            clock = 'busy' if busy else device
            training = seconds(partial(step, module, inputs), clock)
            with torch.no_grad():
                forward = seconds(partial(module, *inputs), clock)
            best[index] = [min(pair) for pair in zip(best[index], (training, forward))]
    return best


def peak_of_step(case: Case, device: str, kind: type[nn.Module]) -> int:
    """Bytes that one training step needs on top of the weights and the input."""
    module = build(kind, device)
    for size in (Case(10), case):
        inputs = size.inputs(device)
        with peak(device) as found:
            step(module, inputs)
    return found[0]


TRITON = """

`MMEXT_TRITON=1`, or `position_relation=dict(type='mmext.PositionRelation', triton=True)`, takes one pair
of Triton kernels instead: embedding, projection and ReLU fused, forward and backward, with nothing
of a pair in memory but the bias and a byte for each head. They are verified by Triton's interpreter and
by compilation for sm_80 and sm_90 (see [triton_kernels.md](triton_kernels.md)), **not yet run on a GPU**,
hence off by default. `--device cuda` measures them in rows of their own, after asserting equality there."""
HEADER = ('| queries | pairs | training step ms (ref) | x faster | forward ms (ref) | x faster | '
          'peak MiB (ref) | memory ratio | difference |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|')


def _short(milliseconds: float) -> str:
    return f'{milliseconds:.0f}' if milliseconds >= 10 else f'{milliseconds:.2g}'


def row(name: str, case: Case, device: str, kind: type[Ours], rounds: int, busy: bool) -> str:
    """A line of the table."""
    difference = assert_equal(case, device, kind)
    ours, theirs = timings(case, device, kind, rounds, busy)
    peaks = [in_child(peak_of_step, case, device, one) for one in (kind, Straightforward)]
    cells = [name + (', Triton' if kind is Fused else ''), f'{case.total}x{case.total}']
    for a, b in zip(ours, theirs):
        cells += [f'{_short(1e3 * a)} ({_short(1e3 * b)})', f'**{b / a:.1f}**']
    cells += [f'{peaks[0] / 2**20:.0f} ({peaks[1] / 2**20:.0f})', f'**{peaks[0] / peaks[1]:.2f}**',
              f'{difference:.0e}']
    return f'| {" | ".join(cells)} |'


def main() -> int:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', default='cpu', choices=('cpu', 'cuda'))
    parser.add_argument('--rounds', type=int, default=5, help='measurements of each time')
    parser.add_argument('--busy', action='store_true',
                        help="count the processor's time, all threads together, not the wall's: "
                        'for a machine that does other things too')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--out', type=Path, help='Markdown file to write')
    args = parser.parse_args()
    if args.busy and args.device == 'cuda':
        print('--busy is for --device cpu', file=sys.stderr)
        return 2
    if args.device == 'cuda' and not torch.cuda.is_available():
        print('--device cuda: this torch sees no GPU', file=sys.stderr)
        return 2
    torch.set_num_threads(args.threads)
    lines = [machine(args.device) + (', processor time' if args.busy else ''), '', HEADER]
    print('\n'.join(lines), flush=True)
    kinds = [Ours, Fused] if args.device == 'cuda' and triton_importable() else [Ours]
    for name, case in CASES.items():
        for kind in kinds:
            lines.append(row(name, case, args.device, kind, args.rounds, args.busy))
            print(lines[-1], flush=True)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        temporary = args.out.with_suffix('.tmp')
        temporary.write_text(
            '# Position relation\n\nMade by `python tools/benchmarks/position_relation.py`: the bias of one '
            'decoder layer for one image, 8 heads, 64 features a pair; "with denoising" adds 5 groups of 40 '
            'queries. ref makes all features and projects them with a 1x1 convolution; difference is in '
            'double precision.' + TRITON + '\n\n' + '\n'.join(lines) + '\n')
        os.replace(temporary, args.out)
    return 0


if __name__ == '__main__':
    sys.exit(main())
