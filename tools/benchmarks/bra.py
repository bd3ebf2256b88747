"""Bi-level routing attention against the straightforward formulation (expand, gather, softmax).

    python tools/benchmarks/bra.py                       # layers and whole networks, about 20 minutes
    python tools/benchmarks/bra.py --cases '224*'        # some of them
    python tools/benchmarks/bra.py --device cuda --out docs/benchmarks/bra_gpu.md

Each case first asserts that both give the same result and gradient, then times forward and backward
(best of several rounds, taken in turn) and measures the peak memory of one training step, each in a
process of its own.
"""
from __future__ import annotations

import argparse
import fnmatch
import gc
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from mmext.models.backbones.biformer import Attention, BiFormer, BiLevelRoutingAttention
from mmext.ops.bra import routed_attention_reference


@dataclass(frozen=True)
class Case:
    """A layer (``stage`` 1 to 3) or a network (``stage`` 0) of an architecture at an image size."""

    stage: int
    arch: str
    height: int
    width: int
    n_win: int
    batch: int

    def build(self, device: str) -> tuple[nn.Module, Tensor]:
        """The module and an input, the same every time."""
        torch.manual_seed(0)
        sizes = dict(small=(64, 128, 256), base=(96, 192, 384), tiny=(64, 128, 256))[self.arch]
        if self.stage == 0:
            module: nn.Module = BiFormer(self.arch, n_win=self.n_win)
            shape: tuple[int, ...] = (self.batch, 3, self.height, self.width)
        else:
            dim = sizes[self.stage - 1]
            module = BiLevelRoutingAttention(dim, num_heads=dim // 32, n_win=self.n_win,
                                             topk=(1, 4, 16)[self.stage - 1], side_dwconv=5)
            stride = 2**(self.stage + 1)
            shape = (self.batch, -(-self.height // stride), -(-self.width // stride), dim)
        return module.to(device).train(), torch.randn(shape, device=device)


CASES = {
    **{f'224 stage {i}': Case(i, 'small', 224, 224, 7, 8) for i in (1, 2, 3)},
    **{f'800x1333 stage {i}': Case(i, 'small', 800, 1333, 16, 1) for i in (1, 2, 3)},
    '224 BiFormer-T': Case(0, 'tiny', 224, 224, 7, 4),
    '224 BiFormer-S': Case(0, 'small', 224, 224, 7, 4),
    '800x1333 BiFormer-T': Case(0, 'tiny', 800, 1333, 16, 1),
}


def _softmax_attention(query: Tensor, key: Tensor, value: Tensor, dropout_p: float,
                       scale: float) -> Tensor:
    return ((query @ key.transpose(-2, -1)) * scale).softmax(dim=-1) @ value


def use_reference(module: nn.Module) -> nn.Module:
    """Put the straightforward formulation into every attention of ``module``."""
    for layer in module.modules():
        if isinstance(layer, BiLevelRoutingAttention):
            layer.attend = routed_attention_reference
        elif isinstance(layer, Attention):
            layer.attend = _softmax_attention
    return module


def _loss(out: Tensor | tuple[Tensor, ...]) -> Tensor:
    maps = out if isinstance(out, tuple) else (out, )
    return sum((one.square().mean() for one in maps), torch.zeros((), device=maps[0].device))


def assert_equal(case: Case, device: str) -> float:
    """Largest difference of result and input gradient, relative to their largest value.

    Networks are compared in double precision on one image of moderate size: with random weights the
    regions are so alike that rounding in float32 sends some of them elsewhere.
    """
    found = []
    dtype = torch.float64 if case.stage == 0 else torch.float32
    if case.stage == 0:
        case = replace(case, height=min(case.height, 320), width=min(case.width, 448), batch=1)
    for prepare in (lambda m: m, use_reference):
        module, x = case.build(device)
        module, x = module.to(dtype), x.to(dtype).requires_grad_()
        out = prepare(module)(x)
        _loss(out).backward()
        found.append((*(out if isinstance(out, tuple) else (out, )), x.grad))
    worst = max(float((ours - theirs).detach().abs().max() / theirs.detach().abs().max())
                for ours, theirs in zip(*found))
    if worst > 1e-3:
        raise AssertionError(f'results differ by {worst:.2g} of their largest value')
    return worst


def _seconds(call: Callable[[], object], device: str) -> float:
    """Seconds of ``call``; ``device`` is 'cpu', 'cuda' or 'busy': the processor's time."""
    clock = time.process_time if device == 'busy' else time.perf_counter
    if device == 'cuda':
        torch.cuda.synchronize()
    start = clock()
    call()
    if device == 'cuda':
        torch.cuda.synchronize()
    return clock() - start


def _times(module: nn.Module, x: Tensor, device: str) -> list[float]:
    """Seconds of forward, backward and inference, measured once."""
    losses: list[Tensor] = []
    forward = _seconds(lambda: losses.append(_loss(module(x))), device)
    backward = _seconds(lambda: losses[0].backward(), device)
    with torch.no_grad():
        return [forward, backward, _seconds(lambda: module(x), device)]


def timings(case: Case, device: str, rounds: int, budget: float,
            busy: bool) -> list[list[float]]:
    """Best forward, backward and inference seconds of ours and of the reference."""
    pairs = [case.build(device), case.build(device)]
    use_reference(pairs[1][0])
    best = [[float('inf')] * 3, [float('inf')] * 3]
    start = time.perf_counter()
    for _ in range(rounds):
        for i, (module, x) in enumerate(pairs):
            once = _times(module, x.requires_grad_(), 'busy' if busy else device)
            best[i] = [min(pair) for pair in zip(best[i], once)]
        if time.perf_counter() - start > budget:
            break
    return best


def _resident(field: str) -> int:
    """A line of /proc/self/status in bytes: VmRSS is memory now, VmHWM the highest so far."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f'no {field} in /proc/self/status')


def _peak_in_child(case: Case, device: str, reference: bool, threads: int, pipe: object) -> None:
    torch.set_num_threads(threads)
    small = Case(case.stage, case.arch, 64, 64, 2 if case.stage == 1 else 4, 1)
    for size in (small, case):
        module, x = size.build(device)
        if reference:
            use_reference(module)
        x.requires_grad_()
        gc.collect()
        if device == 'cuda':
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        else:
            Path('/proc/self/clear_refs').write_text('5')  # the highest starts anew
            before = _resident('VmRSS')
        _loss(module(x)).backward()
        after = torch.cuda.max_memory_allocated() if device == 'cuda' else _resident('VmHWM')
    pipe.send(after - before)  # type: ignore[attr-defined]


def peak_memory(case: Case, device: str, reference: bool) -> int:
    """Bytes that one training step needs on top of the weights and the input."""
    context = multiprocessing.get_context('spawn')
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_peak_in_child,
                            args=(case, device, reference, torch.get_num_threads(), sender))
    child.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise RuntimeError('the process that measures memory died; too little memory?') from None
    finally:
        child.join()


def machine(device: str) -> str:
    """What this runs on."""
    if device == 'cuda':
        where = torch.cuda.get_device_name()
    else:
        names = [line.split(':', 1)[1].strip() for line in
                 Path('/proc/cpuinfo').read_text().splitlines() if line.startswith('model name')]
        where = f'{names[0] if names else platform.machine()}, {torch.get_num_threads()} threads'
    return f'{where}; torch {torch.__version__}, float32, Python {platform.python_version()}'


HEADER = ('| case | batch | forward s (ref) | backward s (ref) | inference s (ref) | '
          'training x faster | inference x faster | peak MiB (ref) | memory ratio | difference |\n'
          '|---|---|---|---|---|---|---|---|---|---|')


def row(name: str, case: Case, device: str, rounds: int, budget: float, busy: bool) -> str:
    """A line of the table."""
    difference = assert_equal(case, device)
    ours, theirs = timings(case, device, rounds, budget, busy)
    peaks = [peak_memory(case, device, reference) for reference in (False, True)]
    cells = [name, str(case.batch)]
    cells += [f'{a:.3f} ({b:.3f})' for a, b in zip(ours, theirs)]
    cells += [f'**{sum(theirs[:2]) / sum(ours[:2]):.1f}**', f'{theirs[2] / ours[2]:.1f}',
              f'{peaks[0] / 2**20:.0f} ({peaks[1] / 2**20:.0f})', f'**{peaks[0] / peaks[1]:.2f}**',
              f'{difference:.0e}']
    return f'| {" | ".join(cells)} |'


def main() -> int:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--cases', default='*', help='pattern of the cases to run')
    parser.add_argument('--device', default='cpu', choices=('cpu', 'cuda'))
    parser.add_argument('--rounds', type=int, default=5, help='measurements of each time')
    parser.add_argument('--budget', type=float, default=60.,
                        help='seconds after which a case starts no further round')
    parser.add_argument('--busy', action='store_true',
                        help="count the processor's time, all threads together, not the wall's: "
                        'for a machine that does other things too')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--out', type=Path, help='Markdown file to write')
    args = parser.parse_args()
    chosen = {name: case for name, case in CASES.items() if fnmatch.fnmatch(name, args.cases)}
    if not chosen:
        print(f"--cases '{args.cases}' fits none of: {', '.join(CASES)}", file=sys.stderr)
        return 2
    if args.busy and args.device == 'cuda':
        print('--busy is for --device cpu', file=sys.stderr)
        return 2
    if args.device == 'cuda' and not torch.cuda.is_available():
        print('--device cuda: this torch sees no GPU', file=sys.stderr)
        return 2
    torch.set_num_threads(args.threads)
    clock = ', processor time' if args.busy else ''
    lines = [machine(args.device) + clock, '', HEADER]
    print('\n'.join(lines), flush=True)
    for name, case in chosen.items():
        lines.append(row(name, case, args.device, args.rounds, args.budget, args.busy))
        print(lines[-1], flush=True)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        temporary = args.out.with_suffix('.tmp')
        temporary.write_text('# Bi-level routing attention\n\nMade by `python tools/benchmarks/bra.py`; '
                             'ref is expand, gather, softmax.\n\n' + '\n'.join(lines) + '\n')
        os.replace(temporary, args.out)
    return 0


if __name__ == '__main__':
    sys.exit(main())
