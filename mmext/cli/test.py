"""Evaluate a checkpoint with a config of any host."""
from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import hosts
from ..engine.guards import add_leaderboard, add_load_report
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
from .run_config import add_run_arguments, apply_run_arguments, build_runner, require_checkpoint
from .smoke import shrink
from .tta import apply_tta

if TYPE_CHECKING:
    from mmengine.config import Config

METRICS_FILE = 'test_metrics.json'
_PICKLES = ('.pkl', '.pickle')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments; names and meanings are the hosts'."""
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help="weights (file or URL), or 'none': an untrained model")
    add_run_arguments(parser)
    parser.add_argument('--partial-checkpoint', action='store_true',
                        help='test even if the file lacks weights of the model')
    parser.add_argument('--amp', action='store_true', help='predict in half precision')
    parser.add_argument('--out', metavar='PATH',
                        help='predictions (.pkl), metrics (.json), or a folder for label maps '
                             '(PNG, segmentation)')
    parser.add_argument('--out-item', choices=['metrics', 'pred'],
                        help='what goes into a .pkl (default: pred)')
    parser.add_argument('--show', action='store_true', help='show the predictions in a window')
    parser.add_argument('--show-dir', help='save pictures of the predictions here')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds per shown picture')
    parser.add_argument('--interval', type=int, default=1, help='draw every so many samples')
    parser.add_argument('--tta', action='store_true',
                        help="test-time augmentation: the config's, or flips")
    parser.add_argument('--run-name', help="name in the leaderboard (default: the work directory's)")
    parser.add_argument('--no-report', action='store_true',
                        help='write no report.html into the work directory')
    add_launcher_arguments(parser)


# ----------------------------------------------------------------------------------------- pictures

_VISUALIZATION = {
    'mmdet': dict(type='mmdet.DetVisualizationHook'),
    'mmrotate': dict(type='mmdet.DetVisualizationHook'),
    'mmseg': dict(type='mmseg.SegVisualizationHook'),
    'mmpretrain': dict(type='mmpretrain.VisualizationHook'),
}


def set_visualization(cfg: Config, args: argparse.Namespace) -> None:
    """Switch the host's visualization hook on, in the host's own words.

    Raises:
        UserError: If neither the config nor the host has such a hook.
    """
    host = cfg.get('default_scope') or 'mmengine'
    hooks = cfg.setdefault('default_hooks', {})
    if hooks.get('visualization') is None:
        if host not in _VISUALIZATION:
            raise UserError(f'--show: no visualization hook in default_hooks, and none for {host}')
        hooks['visualization'] = dict(_VISUALIZATION[host])
    hook = hooks['visualization']
    hook['interval'] = args.interval
    if host == 'mmpretrain':
        hook.update(enable=True, show=args.show, wait_time=args.wait_time, out_dir=args.show_dir)
        return
    hook['draw'] = True
    if args.show:
        hook.update(show=True, wait_time=args.wait_time)
    if args.show_dir:
        if host == 'mmseg':
            cfg.setdefault('visualizer', dict(type='mmseg.SegLocalVisualizer'))
            cfg.visualizer.setdefault('vis_backends', [dict(type='LocalVisBackend')])
            cfg.visualizer['save_dir'] = args.show_dir
        else:
            hook['test_out_dir'] = args.show_dir


# ---------------------------------------------------------------------------------------------- out


def _check_out(args: argparse.Namespace) -> None:
    if args.out is None:
        if args.out_item:
            raise UserError('--out-item needs --out')
        return
    path = Path(args.out)
    if path.suffix and path.suffix not in (*_PICKLES, '.json'):
        raise UserError(f"--out: '{args.out}' must end in .pkl (predictions) or .json (metrics), "
                        'or be a folder (label maps)')
    if path.suffix == '.json' and args.out_item == 'pred':
        raise UserError('--out: predictions go into a .pkl; a .json takes the metrics')
    if path.suffix and not path.parent.is_dir():
        raise UserError(f"--out: there is no folder '{path.parent}'")


def set_output_folder(cfg: Config, folder: str) -> None:
    """Let every metric that can write per-image results write them into ``folder``.

    Raises:
        UserError: If none can.
    """
    from mmengine.registry import METRICS

    from ..engine.config_check.resolve import Resolver
    from ..engine.config_check.signatures import known_arguments, mentions
    resolver, scope = Resolver(), cfg.get('default_scope') or 'mmengine'
    evaluator = cfg.test_evaluator
    metrics = evaluator if isinstance(evaluator, (list, tuple)) else \
        evaluator.get('metrics') or [evaluator]
    able = []
    for metric in metrics if isinstance(metrics, (list, tuple)) else [metrics]:
        found = resolver.find(METRICS, metric.get('_scope_') or scope, metric['type'])
        known = known_arguments(found) if found is not None else ()
        if 'output_dir' in (known or ()) or (known is None and mentions(found, 'output_dir')) \
                or 'output_dir' in _first_arguments(found):
            metric['output_dir'] = folder
            able.append(metric)
    if not able:
        names = ', '.join(metric['type'] for metric in metrics)
        raise UserError(f"--out: '{folder}' is a folder, but {names} cannot write per-image "
                        'results; use a .pkl (predictions) or a .json (metrics)')


def _first_arguments(target: Any) -> Sequence[str]:
    """Arguments of a class, those that it passes on to its bases included."""
    import inspect
    return [name for cls in getattr(target, '__mro__', ()) if '__init__' in vars(cls)
            for name in inspect.signature(cls.__init__).parameters]


def _add_dump(runner: Any, cfg: Config, path: Path) -> None:
    if cfg.get('default_scope') == 'mmdet':
        from mmdet.evaluation import DumpDetResults as Dump
    else:
        from mmengine.evaluator import DumpResults as Dump
    runner.test_evaluator.metrics.append(Dump(out_file_path=str(path)))


def _write_json(content: Any, path: Path) -> None:
    temporary = path.with_name(f'.{path.name}.{os.getpid()}')
    temporary.write_text(json.dumps(content, indent=2, default=_plain) + '\n', encoding='utf-8')
    os.replace(temporary, path)


def _plain(value: Any) -> Any:
    """A number or array of numpy or torch as JSON knows it."""
    return value.tolist() if hasattr(value, 'tolist') else str(value)


def show_metrics(metrics: Mapping[str, Any]) -> None:
    """Print the metrics as a compact table."""
    if not metrics:
        print('The evaluator returned no metrics.')
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    table = Table('metric', 'value', box=box.SIMPLE_HEAD)
    for name, value in metrics.items():
        value = value.item() if hasattr(value, 'item') else value  # a number of numpy or torch
        table.add_row(name, f'{value:.4f}' if isinstance(value, float) else str(value))
    Console().print(table)


# ---------------------------------------------------------------------------------------------- run


def prepare(cfg: Config, args: argparse.Namespace) -> list[str]:
    """Merge the command line into ``cfg``, in place; returns lines to tell the user.

    Raises:
        UserError: If an option does not fit the config.
    """
    for key in ('test_dataloader', 'test_cfg', 'test_evaluator'):
        if cfg.get(key) is None:
            raise UserError(f'{cfg.filename}: nothing to test, the config has no {key}')
    apply_run_arguments(cfg, args)
    cfg.resume = False
    cfg.load_from = None if args.checkpoint == 'none' else args.checkpoint
    add_load_report(cfg, strict=not args.partial_checkpoint)
    if args.amp:
        cfg.test_cfg['fp16'] = True
    if args.show or args.show_dir:
        set_visualization(cfg, args)
    return apply_tta(cfg) if args.tta else []


def evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """Run the evaluation that the arguments describe.

    Returns:
        The metrics, also written to ``test_metrics.json`` in the work directory.

    Raises:
        UserError: If the command line, the config or the checkpoint is wrong.
    """
    started = time.monotonic()
    set_local_rank(args)
    _check_out(args)
    record = not (args.no_leaderboard or args.smoke)  # four images are no result
    if record and is_main_process():
        Store().check(writable=True)  # before hours of testing, not after
    if args.checkpoint != 'none':
        require_checkpoint(args.checkpoint, 'checkpoint')
    cfg = load_config(args.config, args.cfg_options)
    hosts.repair(trust_checkpoint=args.trust_checkpoint)
    lines = prepare(cfg, args)
    out = Path(args.out) if args.out else None
    if out and not out.suffix:
        set_output_folder(cfg, args.out)
    check_all_before_run(cfg, ('test', ), args)
    if args.smoke:
        load_from = cfg.load_from
        shrink(cfg)
        cfg.load_from = load_from
    if is_main_process():
        for line in lines:
            print(line, flush=True)
    runner = build_runner(cfg)
    add_leaderboard(runner, run=args.run_name, record=record, report=not args.no_report, started=started)
    dump = out.with_name(f'.{out.stem}.{os.getpid()}.pkl') \
        if out and out.suffix in _PICKLES and args.out_item != 'metrics' else None
    if dump:
        _add_dump(runner, cfg, dump)
    metrics = runner.test()
    if is_main_process():
        if dump and out:
            os.replace(dump, out)
        elif out and out.suffix in _PICKLES:
            import mmengine
            mmengine.dump(metrics, out)
        elif out and out.suffix == '.json':
            _write_json(metrics, out)
        summary = dict(config=args.config, checkpoint=args.checkpoint, metrics=metrics)
        _write_json(summary, Path(runner.work_dir) / METRICS_FILE)
    return metrics


def run(args: argparse.Namespace) -> int:
    """Evaluate and print the metrics; returns 0."""
    metrics = evaluate(args)
    if is_main_process():
        show_metrics(metrics)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; see :func:`mmext.cli._common.run_command`."""
    return run_command(__name__, argv)
