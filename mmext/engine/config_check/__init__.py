"""Static checks of a config before anything heavy is built; the library behind ``mmext check``."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .problem import Problem, errors

if TYPE_CHECKING:
    from mmengine.config import Config

__all__ = ['PHASES', 'RUNNER_KEYS', 'Problem', 'check_config', 'errors']

PHASES = ('train', 'val', 'test')

#: Top-level keys that the Runner and the hosts' tools read; an override may create these.
RUNNER_KEYS = frozenset((
    'model', 'work_dir', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'train_cfg',
    'val_cfg', 'test_cfg', 'auto_scale_lr', 'optim_wrapper', 'param_scheduler', 'val_evaluator',
    'test_evaluator', 'default_hooks', 'custom_hooks', 'data_preprocessor', 'load_from', 'resume',
    'launcher', 'env_cfg', 'log_processor', 'log_level', 'visualizer', 'default_scope',
    'randomness', 'experiment_name', 'custom_imports', 'runner_type', 'compile', 'sync_bn',
    'model_wrapper_cfg', 'find_unused_parameters', 'activation_checkpointing',
    'efficient_conv_bn_eval', 'tta_model', 'tta_pipeline', 'strategy', 'strategies',
))


def check_config(cfg: Config | Mapping[str, Any], phases: Iterable[str] = PHASES,
                 files: bool = True) -> list[Problem]:
    """Find what is wrong with a config, without building any of it.

    Checked: every ``type`` resolvable in the scope in force; every argument known to its
    constructor; overridden pipelines that no longer reach a dataset; loops, dataloaders and
    evaluators complete; schedules within the training; classes the same in training data,
    evaluation data, heads and metrics; one range of angles; files, folders and local checkpoints
    there. (:mod:`.dry_batch` runs one batch, which takes as long as building data and model.)

    Args:
        cfg: A loaded config, command-line overrides merged.
        phases: What is going to run: any of 'train', 'val', 'test'.
        files: Whether the data and weights have to be on this machine.

    Returns:
        All problems, errors first.
    """
    from .checks import run
    return run(cfg, tuple(phases), files)
