"""Speed and memory of a module against another form of the same computation.

Both are measured in one process and in turn, so that a busy machine slows both; the best of several
rounds counts. Peak memory is that of one training step in a process of its own.
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
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

#: Largest difference of results and gradients, relative to the largest value, that is rounding.
TOLERANCE = 1e-3


class Case(ABC):
    """A module and an input of it; must survive pickling."""

    #: Images at a time.
    batch: int

    @abstractmethod
    def build(self, device: str) -> tuple[nn.Module, Tensor]:
        """The module, ready to train, and an input; the same every time."""

    @abstractmethod
    def reference(self, module: nn.Module) -> nn.Module:
        """``module`` with the other form of the computation in it."""

    @abstractmethod
    def small(self) -> Case:
        """The same with an input that takes next to no memory."""

    def comparable(self, device: str) -> tuple[nn.Module, Tensor]:
        """What :meth:`build` gives, in a form whose results can be compared."""
        return self.build(device)


def loss_of(out: Tensor | Sequence[Tensor]) -> Tensor:
    """A scalar that depends on every value of a map or of several.

    It is linear with unequal weights: the sum or the squares of maps that end in a norm are constant
    and their gradient nothing but rounding.
    """
    maps = [out] if isinstance(out, Tensor) else out
    total = torch.zeros((), device=maps[0].device)
    for one in maps:
        weights = torch.arange(one[0].numel(), device=one.device, dtype=one.dtype).mul_(0.7).cos_()
        total = total + (one * weights.view(one.shape[1:])).mean()
    return total


def difference(case: Case, device: str) -> float:
    """Largest difference of results and input gradient, relative to their largest value.

    Raises:
        AssertionError: If it is more than :data:`TOLERANCE`.
    """
    found = []
    for prepare in (lambda module: module, case.reference):
        module, x = case.comparable(device)
        x.requires_grad_()
        out = prepare(module)(x)
        loss_of(out).backward()
        assert x.grad is not None
        found.append(([out] if isinstance(out, Tensor) else list(out)) + [x.grad])
    worst = max(float((ours - theirs).detach().abs().max() / theirs.detach().abs().max())
                for ours, theirs in zip(*found))
    if not worst <= TOLERANCE:
        raise AssertionError(f'results differ by {worst:.2g} of their largest value')
    return worst


def seconds(call: Callable[[], object], clock: str) -> float:
    """Seconds of ``call``; ``clock`` is 'cpu', 'cuda' or 'busy': the processor's time."""
    now = time.process_time if clock == 'busy' else time.perf_counter
    if clock == 'cuda':
        torch.cuda.synchronize()
    start = now()
    call()
    if clock == 'cuda':
        torch.cuda.synchronize()
    return now() - start


def _times(module: nn.Module, x: Tensor, clock: str) -> list[float]:
    """Seconds of forward, backward and inference, measured once."""
    losses: list[Tensor] = []
    forward = seconds(lambda: losses.append(loss_of(module(x))), clock)
    backward = seconds(lambda: losses[0].backward(), clock)
    with torch.no_grad():
        return [forward, backward, seconds(lambda: module(x), clock)]


def timings(case: Case, device: str, rounds: int, budget: float, busy: bool) -> list[list[float]]:
    """Best forward, backward and inference seconds, of ours and of the reference.

    Args:
        case: What to measure.
        device: 'cpu' or 'cuda'.
        rounds: Measurements of each.
        budget: Seconds after which no further round starts.
        busy: Count the processor's time instead of the wall's.
    """
    pairs = [case.build(device), case.build(device)]
    case.reference(pairs[1][0])
    best = [[float('inf')] * 3, [float('inf')] * 3]
    start = time.perf_counter()
    for _ in range(rounds):
        for i, (module, x) in enumerate(pairs):
            once = _times(module, x.requires_grad_(), 'busy' if busy else device)
            best[i] = [min(pair) for pair in zip(best[i], once)]
        if time.perf_counter() - start > budget:
            break
    return best


def resident(field: str) -> int:
    """A line of /proc/self/status in bytes: VmRSS is memory now, VmHWM the highest so far."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f'no {field} in /proc/self/status')


@contextmanager
def peak(device: str) -> Iterator[list[int]]:
    """A list that after the block has the bytes which it needed on top of what was there before.

    Only in a process of its own (:func:`in_child`) and after a small run of the same: freed memory stays
    with a process, and the first run allocates what stays.
    """
    found: list[int] = []
    gc.collect()
    if device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        Path('/proc/self/clear_refs').write_text('5')  # the highest starts anew
        before = resident('VmRSS')
    yield found
    after = torch.cuda.max_memory_allocated() if device == 'cuda' else resident('VmHWM')
    found.append(after - before)


def in_child(function: Callable[..., Any], *args: Any, start: str = 'spawn') -> Any:
    """What ``function(*args)`` returns in a process of its own with as many threads as here.

    Args:
        function: What to call.
        *args: Its arguments; with 'spawn' they are pickled.
        start: How the process starts: 'spawn', or 'fork' for one that has this one's memory.

    Raises:
        RuntimeError: If that process dies.
    """
    context: Any = multiprocessing.get_context(start)
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_send, args=(sender, torch.get_num_threads(), function, args))
    child.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise RuntimeError(f'the process of {function.__name__} died; too little memory?') from None
    finally:
        child.join()


def _send(pipe: Connection, threads: int, function: Callable[..., Any], args: Sequence[Any]) -> None:
    torch.set_num_threads(threads)
    pipe.send(function(*args))


def _peak_of_step(case: Case, device: str, reference: bool) -> int:
    for size in (case.small(), case):
        module, x = size.build(device)
        if reference:
            size.reference(module)
        x.requires_grad_()
        with peak(device) as found:
            loss_of(module(x)).backward()
    return found[0]


def peak_memory(case: Case, device: str, reference: bool) -> int:
    """Bytes that one training step needs on top of the weights and the input."""
    return in_child(_peak_of_step, case, device, reference)


def machine(device: str) -> str:
    """What this runs on."""
    if device == 'cuda':
        where = torch.cuda.get_device_name()
    else:
        names = [line.split(':', 1)[1].strip() for line in
                 Path('/proc/cpuinfo').read_text().splitlines() if line.startswith('model name')]
        threads = torch.get_num_threads()
        where = (f'{names[0] if names else platform.machine()} (CPU), {threads} '
                 f'thread{"s" if threads > 1 else ""}')
    return f'{where}; torch {torch.__version__}, float32, Python {platform.python_version()}'


_HEADER = ('| case | batch | forward s (ref) | backward s (ref) | inference s (ref) | '
           'training x faster | inference x faster | peak MiB (ref) | memory ratio | difference |\n'
           '|---|---|---|---|---|---|---|---|---|---|')


def _row(name: str, case: Case, args: argparse.Namespace) -> str:
    """A line of the table."""
    apart = difference(case, args.device)
    ours, theirs = timings(case, args.device, args.rounds, args.budget, args.busy)
    peaks = [peak_memory(case, args.device, reference) for reference in (False, True)]
    cells = [name, str(case.batch)]
    cells += [f'{a:.3f} ({b:.3f})' for a, b in zip(ours, theirs)]
    cells += [f'**{sum(theirs[:2]) / sum(ours[:2]):.2f}**', f'{theirs[2] / ours[2]:.2f}',
              f'{peaks[0] / 2**20:.0f} ({peaks[1] / 2**20:.0f})', f'**{peaks[0] / peaks[1]:.2f}**',
              f'{apart:.0e}']
    return f'| {" | ".join(cells)} |'


def run(cases: Mapping[str, Case], heading: str, description: str | None,
        argv: list[str] | None = None) -> int:
    """Command line of a benchmark: run the cases, print the table, write it.

    Args:
        cases: By name.
        heading: Top of the Markdown file, above the table.
        description: Of the command.
        argv: Arguments, by default the process's.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(description=description,
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
    args = parser.parse_args(argv)
    chosen = {name: case for name, case in cases.items() if fnmatch.fnmatch(name, args.cases)}
    wrong = None
    if not chosen:
        wrong = f"--cases '{args.cases}' fits none of: {', '.join(cases)}"
    elif args.rounds < 1 or args.threads < 1:
        wrong = f'--rounds {args.rounds}, --threads {args.threads}: expected 1 or more'
    elif args.busy and args.device == 'cuda':
        wrong = '--busy is for --device cpu'
    elif args.device == 'cuda' and not torch.cuda.is_available():
        wrong = '--device cuda: this torch sees no GPU'
    if wrong:
        print(wrong, file=sys.stderr)
        return 2
    torch.set_num_threads(args.threads)
    clock = ', processor time' if args.busy else ''
    lines = [machine(args.device) + clock, '', _HEADER]
    print('\n'.join(lines), flush=True)
    for name, case in chosen.items():
        lines.append(_row(name, case, args))
        print(lines[-1], flush=True)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        temporary = args.out.with_suffix('.tmp')
        temporary.write_text(f'{heading}\n\n' + '\n'.join(lines) + '\n')
        os.replace(temporary, args.out)
    return 0
