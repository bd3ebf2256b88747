"""Train a model from a config of any host."""
from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import hosts
from ..engine.guards import add_guards, add_leaderboard
from ..errors import UserError
from ..leaderboard.store import Store
from ._common import (
    add_config_arguments,
    add_launcher_arguments,
    is_main_process,
    run_command,
    set_local_rank,
)
from .check import check_all_before_run
from .config import load_config
from .run_config import (
    add_run_arguments,
    apply_run_arguments,
    build_runner,
    on_cpu,
    require_checkpoint,
    uses_amp,
    world_size,
)
from .smoke import TEST_IMAGES, shrink

if TYPE_CHECKING:
    from mmengine.config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments; names and meanings are the hosts'."""
    add_config_arguments(parser)
    add_run_arguments(parser)
    parser.add_argument('--amp', action='store_true',
                        help='automatic mixed precision (needs a GPU)')
    parser.add_argument('--resume', nargs='?', const='auto', metavar='CHECKPOINT',
                        help='go on from this checkpoint, or from the newest one in the work '
                             'directory (--resume alone or --resume auto)')
    parser.add_argument('--auto-scale-lr', action='store_true',
                        help='scale the learning rate by actual / base batch size')
    parser.add_argument('--no-validate', action='store_true', help='train without validation')
    parser.add_argument('--seed', type=int, help='seed of all random numbers')
    parser.add_argument('--deterministic', action='store_true',
                        help='use deterministic algorithms only (seed 0 unless --seed is given)')
    add_launcher_arguments(parser)


# --------------------------------------------------------------------------------------- options


def set_amp(cfg: Config) -> None:
    """Wrap the optimizer for mixed precision.

    Raises:
        UserError: Without a GPU, or around a wrapper that has no such form.
    """
    if on_cpu():
        raise UserError("--amp needs a GPU: mmengine's AmpOptimWrapper does not run on the CPU. "
                        'Leave --amp out.')
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind == 'AmpOptimWrapper':
        return
    if kind != 'OptimWrapper':
        raise UserError(f"--amp works with optim_wrapper.type='OptimWrapper', not '{kind}'")
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def _settle_amp(cfg: Config, smoke: bool) -> list[str]:
    """A config that asks for mixed precision itself, on a machine without a GPU."""
    if not uses_amp(cfg) or not on_cpu():
        return []
    if not smoke:
        raise UserError("optim_wrapper.type: 'AmpOptimWrapper' needs a GPU. To train on the CPU: "
                        '--cfg-options optim_wrapper.type=OptimWrapper')
    cfg.optim_wrapper.type = 'OptimWrapper'
    for name in ('loss_scale', 'dtype', 'use_fsdp'):
        cfg.optim_wrapper.pop(name, None)
    return ['smoke run: in full precision, mixed precision needs a GPU']


def _learning_rates(cfg: Config) -> list[float]:
    wrapper = cfg.get('optim_wrapper') or {}
    wrappers = [wrapper] if 'optimizer' in wrapper else \
        [one for one in wrapper.values() if isinstance(one, Mapping) and 'optimizer' in one]
    return [one['optimizer']['lr'] for one in wrappers if 'lr' in one['optimizer']]


def scale_lr(cfg: Config) -> str:
    """Switch learning-rate scaling on.

    Returns:
        What it comes to, in one line.

    Raises:
        UserError: If the config does not say what batch size its learning rate was chosen for.
    """
    scale = cfg.get('auto_scale_lr') or {}
    base = scale.get('base_batch_size')
    if not base:
        raise UserError('--auto-scale-lr: the config has no auto_scale_lr.base_batch_size, the '
                        'batch size its learning rate was chosen for; add it: '
                        '--cfg-options auto_scale_lr.base_batch_size=16')
    cfg.auto_scale_lr = dict(scale, enable=True)
    loader = cfg.train_dataloader
    per_process = loader.get('batch_size') or loader.get('batch_sampler', {}).get('batch_size')
    processes = world_size()
    ratio = per_process * processes / base
    rates = ', '.join(f'{lr:g} -> {lr * ratio:g}' for lr in _learning_rates(cfg))
    return (f'auto-scale-lr: base batch size {base}, actual {processes} x {per_process} = '
            f'{processes * per_process}; learning rate {rates}')


def _set_randomness(cfg: Config, seed: int | None, deterministic: bool) -> None:
    randomness = dict(cfg.get('randomness') or {})
    if deterministic:
        randomness.update(deterministic=True)
        if randomness.get('seed') is None:
            randomness['seed'] = 0
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')  # cuBLAS asks for it
    if seed is not None:
        randomness['seed'] = seed
    if randomness:
        randomness.setdefault('seed', None)
        cfg.randomness = randomness


def _set_resume(cfg: Config, resume: str | None) -> None:
    if resume is None:
        return
    cfg.resume = True
    if resume == 'auto':
        cfg.load_from = None
    else:
        require_checkpoint(resume, '--resume')
        cfg.load_from = resume


def prepare(cfg: Config, args: argparse.Namespace) -> list[str]:
    """Merge the command line into ``cfg``, in place.

    Returns:
        Lines to tell the user.

    Raises:
        UserError: If an option does not fit the config or the machine.
    """
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper'):
        if cfg.get(key) is None:
            raise UserError(f'{cfg.filename}: nothing to train, the config has no {key}')
    apply_run_arguments(cfg, args)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        set_amp(cfg)
    lines = _settle_amp(cfg, args.smoke)
    _set_randomness(cfg, args.seed, args.deterministic)
    _set_resume(cfg, args.resume)
    add_guards(cfg)
    return [*lines, scale_lr(cfg)] if args.auto_scale_lr else lines


# ------------------------------------------------------------------------------------------- run


def run(args: argparse.Namespace) -> int:
    """Train; returns 0."""
    started = time.monotonic()
    set_local_rank(args)
    record = not (args.no_leaderboard or args.smoke)  # four images are no result
    if record and is_main_process():
        Store().check(writable=True)  # before days of training, not after
    cfg = load_config(args.config, args.cfg_options)
    hosts.repair(trust_checkpoint=args.trust_checkpoint)
    lines = prepare(cfg, args)
    check_all_before_run(cfg, ('train', 'val') if cfg.get('val_dataloader') else ('train', ), args)
    if args.smoke:
        lines += [f'smoke run: {note}' for note in shrink(cfg)]
    if is_main_process():
        for line in lines:
            print(line, flush=True)
    runner = build_runner(cfg)
    add_leaderboard(runner, record=record, report=False)
    if args.deterministic and is_main_process():
        print(_determinism(runner), flush=True)
    runner.train()
    if args.smoke and is_main_process():
        print(_smoke_report(runner, time.monotonic() - started), flush=True)
    return 0


def _determinism(runner: Any) -> str:
    from ..engine.determinism import unordered_layers
    layers = {} if on_cpu() else unordered_layers(runner.model)
    if not layers:
        return 'deterministic: two runs with the same seed are equal bit for bit'
    names = ', '.join(f'{kind} ({len(modules)})' for kind, modules in layers.items())
    return f'deterministic, but for the gradients of {names}: their GPU kernels add in any order'


def _smoke_report(runner: Any, seconds: float) -> str:
    if not runner.iter:
        raise UserError('smoke run failed: the training data give not one batch')
    validation = ''
    if runner.val_loop is not None:
        images = min(TEST_IMAGES, len(runner.val_dataloader.dataset))
        validation = f', validation on {images} images'
    return (f'smoke run passed: {runner.iter} iterations{validation}, {seconds:.0f} s, '
            f'files in {runner.work_dir}')


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; see :func:`mmext.cli._common.run_command`."""
    return run_command(__name__, argv)
