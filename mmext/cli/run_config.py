"""What train and test do to a config before the Runner sees it."""
from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError, nearest
from .config import default_work_dir

if TYPE_CHECKING:
    from mmengine.config import Config

CHECKPOINT_SUFFIXES = ('.pth', '.pt', '.safetensors')


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that train and test share."""
    parser.add_argument('--work-dir', help='where logs, metrics and checkpoints go '
                        '(default: work_dirs/CONFIG_NAME)')
    parser.add_argument('--smoke', action='store_true',
                        help='try the config out: 2 training iterations, validation on 4 images')
    parser.add_argument('--no-check', action='store_true',
                        help='skip the check of the config and of its data')
    parser.add_argument('--no-data-check', action='store_true',
                        help='skip the check of annotations and image headers (a smoke run has none)')
    parser.add_argument('--no-leaderboard', action='store_true',
                        help='keep no record of the evaluation (see mmext leaderboard)')
    parser.add_argument('--trust-checkpoint', action='store_true',
                        help='read a checkpoint even if that runs code from it')
    parser.add_argument('--no-pin-memory', action='store_true',
                        help='set pin_memory=False in all dataloaders')
    parser.add_argument('--no-persistent-workers', action='store_true',
                        help='set persistent_workers=False in all dataloaders')


def apply_run_arguments(cfg: Config, args: argparse.Namespace) -> None:
    """Merge work directory, launcher and dataloader options into ``cfg``.

    Raises:
        UserError: If the work directory cannot be written.
    """
    cfg.launcher = args.launcher
    cfg.work_dir = default_work_dir(cfg, args.work_dir)
    if args.smoke and args.work_dir is None:
        cfg.work_dir = f'{cfg.work_dir}_smoke'  # a trial run leaves the real one alone
    _require_writable(cfg.work_dir)
    for phase in ('train', 'val', 'test'):
        _set_loader_defaults(cfg, f'{phase}_dataloader', args)


def _require_writable(folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the work directory '{folder}': {error.strerror}; "
                        'choose another with --work-dir') from None
    if not os.access(folder, os.W_OK):
        raise UserError(f"the work directory '{folder}' cannot be written to; choose another with "
                        '--work-dir')


def _set_loader_defaults(cfg: Config, key: str, args: argparse.Namespace) -> None:
    loader: Any = cfg.get(key)
    if not isinstance(loader, dict):
        return
    if cfg.get('default_scope') == 'mmpretrain':
        # mmpretrain's configs leave these to its tools.
        loader.setdefault('pin_memory', not on_cpu())
        loader.setdefault('persistent_workers', loader.get('num_workers', 0) > 0)
        loader.setdefault('collate_fn', dict(type='default_collate'))
    for name in ('collate_fn', 'worker_init_fn'):
        if isinstance(loader.get(name), dict):
            # A base of another package leaves its mark here; mmengine would pass it to the function.
            loader[name].pop('_scope_', None)
    if args.no_pin_memory:
        loader['pin_memory'] = False
    if args.no_persistent_workers:
        loader['persistent_workers'] = False
    cfg[key] = loader


def on_cpu() -> bool:
    """Whether training would run on the CPU."""
    from mmengine.device import get_device
    return get_device() == 'cpu'


def uses_amp(cfg: Config) -> bool:
    """Whether the config itself asks for mixed precision."""
    wrapper = cfg.get('optim_wrapper')
    return isinstance(wrapper, Mapping) and wrapper.get('type') == 'AmpOptimWrapper'


def require_checkpoint(path: str, option: str) -> None:
    """Refuse a local checkpoint that is not there.

    Raises:
        UserError: Names the nearest checkpoints in that folder.
    """
    if '://' in path or Path(path).is_file():
        return
    folder = Path(path).parent
    names = [file.name for file in folder.iterdir() if file.suffix in CHECKPOINT_SUFFIXES] \
        if folder.is_dir() else []
    found = nearest(Path(path).name, names) or sorted(names)[:8]
    if found:
        hint = f'\nIn {folder}:' + ''.join(f'\n  {name}' for name in found)
    elif folder.is_dir():
        hint = f'\n{folder} has no checkpoints.'
    else:
        hint = f"\nThere is no folder '{folder}' either."
    raise UserError(f"{option}: no checkpoint '{path}'{hint}")


def world_size() -> int:
    """Number of processes that the launcher started."""
    return int(os.environ.get('WORLD_SIZE') or os.environ.get('SLURM_NTASKS') or 1)


def _distribute_on_cpu(cfg: Config) -> None:
    """Let torchrun's processes meet over gloo; mmengine's own start asks for a GPU each."""
    import torch.distributed
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    wrapper = dict(cfg.get('model_wrapper_cfg') or dict(
        type='MMDistributedDataParallel', broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False)))
    wrapper.setdefault('device_ids', None)
    cfg.model_wrapper_cfg = wrapper
    strategy = cfg.get('strategy') or {}
    if strategy.get('type') == 'FSDPStrategy':
        strategy['model_wrapper'] = dict(strategy.get('model_wrapper') or {}, device_id='cpu')
        states = strategy.get('state_dict_cfg')
        for name in ('state_dict_config', 'optim_state_dict_config'):
            if isinstance(states, dict) and isinstance(states.get(name), dict):
                states[name]['offload_to_cpu'] = False  # from the CPU it hands out memory that is freed


def _require_strategy(cfg: Config) -> None:
    """Refuse a sharding strategy that could not start."""
    kind = (cfg.get('strategy') or {}).get('type')
    if kind not in ('FSDPStrategy', 'DeepSpeedStrategy'):
        return
    if kind == 'DeepSpeedStrategy' and importlib.util.find_spec('deepspeed') is None:
        raise UserError("strategy.type: 'DeepSpeedStrategy' needs the package deepspeed: "
                        'pip install deepspeed')
    if cfg.launcher == 'none':
        raise UserError(f"strategy.type: '{kind}' needs processes to share the model among: "
                        'tools/dist_train.sh CONFIG GPUS, or --launcher')


def build_runner(cfg: Config) -> Any:
    """The Runner (or the one that ``runner_type`` names) for ``cfg``.

    Raises:
        UserError: If its strategy needs a package or a launcher that is not there.
    """
    _require_strategy(cfg)
    if cfg.launcher == 'pytorch' and on_cpu():
        _distribute_on_cpu(cfg)
    if cfg.get('default_scope') == 'mmdet':
        from mmdet.utils import setup_cache_size_limit_of_dynamo
        setup_cache_size_limit_of_dynamo()
    if 'runner_type' in cfg:
        from mmengine.registry import RUNNERS
        return RUNNERS.build(cfg)
    from mmengine.runner import Runner
    return Runner.from_cfg(cfg)
