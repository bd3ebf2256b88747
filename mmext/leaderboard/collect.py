"""What a record says about a run: taken from its Runner, as far as that costs next to nothing."""
from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from ..engine.checkpoint.saving import read_manifest
from .record import file_digest

_PACKAGES = dict(torch='torch', mmengine='onedl-mmengine', mmcv='onedl-mmcv', mmdet='onedl-mmdetection',
                 mmseg='onedl-mmsegmentation', mmpretrain='onedl-mmpretrain', mmrotate='onedl-mmrotate')
_PRECISION = re.compile(r'(?:.*/)?(.+)_precision')
_PER_CLASS = re.compile(r'(?:.*/)?(IoU|Acc|Dice|Fscore|Precision|Recall)\.(.+)')


def environment(host: str, device: str) -> dict[str, Any]:
    """Versions and machine.

    Args:
        host: The config's default scope, whose version is kept too.
        device: 'cuda', 'cpu', ...
    """
    import torch

    from .. import __version__
    found: dict[str, Any] = dict(mmext=__version__, python=platform.python_version())
    for name in dict.fromkeys(('torch', 'mmengine', 'mmcv', host)):
        module = sys.modules.get(name)
        version = getattr(module, '__version__', None)
        try:
            found[name] = str(version or metadata.version(_PACKAGES[name]))
        except (KeyError, metadata.PackageNotFoundError):
            continue
    gpu = device == 'cuda' and torch.cuda.is_available()
    found.update(device=torch.cuda.get_device_name() if gpu else f'CPU, {torch.get_num_threads()} threads',
                 cpu=_cpu(), cores=os.cpu_count(), system=f'{platform.system()} {platform.machine()}',
                 processes=int(os.environ.get('WORLD_SIZE') or 1))
    return found


def _cpu() -> str:
    try:
        text = Path('/proc/cpuinfo').read_text(encoding='utf-8')
    except OSError:
        return platform.processor()
    found = re.search(r'model name\s*: (.*)', text)
    return found[1].strip() if found else platform.processor()


def memory_mb() -> float:
    """Largest memory so far in MiB: of the GPU if one was used, else of this process."""
    import torch
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    import resource
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10, 1)


def config_text(runner: Any) -> str:
    """The resolved config. The Runner has just written it; formatting it again takes a second."""
    name = runner.cfg.filename
    path = Path(runner.work_dir) / (Path(name).name if name else f'{runner.timestamp}.py')
    try:
        return path.read_text(encoding='utf-8')
    except OSError:
        return runner.cfg.pretty_text


def config_path(runner: Any) -> str:
    """The config's file, from the current folder if it is below it."""
    path = Path(runner.cfg.filename or '')
    try:
        return str(path.absolute().relative_to(Path.cwd())) if path.name else ''
    except ValueError:
        return str(path)


def tested_checkpoint(runner: Any) -> tuple[str, str]:
    """The weights of a test, and the SHA-256 of their file."""
    source = runner.cfg.get('load_from') or ''
    path = Path(source)
    if '://' in source:
        from torch.hub import get_dir
        path = Path(get_dir()) / 'checkpoints' / Path(source).name
    return str(source), file_digest(path) if source and path.is_file() else ''


def trained_checkpoint(runner: Any, last: str | None) -> tuple[str, str]:
    """The file just saved of the weights that are validated, with its noted digest, if there is one.

    Args:
        runner: The Runner.
        last: The last checkpoint that was saved.
    """
    names = (f'epoch_{runner.epoch}.pth', f'iter_{runner.iter}.pth')
    if not last or Path(last).name not in names:
        return '', ''
    known = read_manifest(Path(last).parent).get(Path(last).name)
    return str(last), known.sha256 if known else ''


def per_class(evaluator: Any, metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each class, in percent, from mmext's metrics or the names of the figures."""
    rows: dict[str, dict[str, Any]] = {}

    def put(name: str, figure: str, value: Any) -> None:
        good = value is not None and value == value and value > -1  # neither NaN nor 'no object'
        rows.setdefault(name, {'class': name})[figure] = value if good else None

    def percent(value: float) -> float:
        return round(100 * float(value), 2) if value > -1 else -1

    for metric in getattr(evaluator, 'metrics', ()):
        for kind, tables in (getattr(metric, 'tables', None) or {}).items():
            label = dict(bbox='box AP', segm='mask AP').get(kind)
            for index, name in enumerate(tables.names if label else ()):
                put(name, str(label), percent(tables.ap(category=index)))
                if 0.5 in tables.thresholds:
                    put(name, f'{label}50', percent(tables.ap(0.5, category=index)))
        for figure, values in (getattr(metric, 'class_figures', None) or {}).items():
            for name, value in zip(metric.dataset_meta['classes'], values):
                put(name, figure, value)
        results = getattr(metric, 'class_results', None)
        if results:
            for name, one in zip(metric.dataset_meta['classes'], results):
                put(name, 'objects', one.objects)
                put(name, 'found', one.found)
                for threshold, ap in zip(metric.iou_thrs, one.ap):
                    put(name, f'AP{round(100 * threshold)}', percent(ap))
    if not rows:
        for key, value in metrics.items():
            precision, figure = _PRECISION.fullmatch(key), _PER_CLASS.fullmatch(key)
            if precision:
                put(precision[1], 'AP', percent(value))
            elif figure:
                put(figure[2], figure[1], float(value))
    return list(rows.values())


def flops(cfg: Any, model: Any, latency: float, seconds: float) -> tuple[int | None, str]:
    """Multiply-adds of the model and the input they are for, if counting is cheap beside the run.

    Args:
        cfg: The whole config.
        model: Not wrapped.
        latency: Seconds for one image.
        seconds: Of the evaluation.
    """
    # tracing takes some twenty times as long as running
    if 0.5 + 20 * latency > max(2., 0.05 * seconds):
        return None, ''
    from ..engine.analysis.flops import complexity
    try:
        found = complexity(cfg, model)
    except Exception:  # whatever a foreign model does when traced: the record matters more
        return None, ''
    return found.macs or None, f'{found.shape[0]} x {found.shape[1]}'
