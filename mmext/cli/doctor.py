"""Check this installation: versions, what is repaired, what is missing and the line to run."""
from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from packaging.specifiers import SpecifierSet

from .. import __version__, hosts
from ._common import run_command

#: Optional packages: import name, distribution with its range, what needs it.
OPTIONAL = (
    ('transformers', 'transformers>=4.53,<5', 'text encoders'),
    ('onnx', 'onnx>=1.17,<2', 'export'),
    ('onnxruntime', 'onnxruntime>=1.20,<2', 'checking exported models'),
    ('tensorboard', 'tensorboard>=2.15,<3', 'tracking'),
)


class Finding(NamedTuple):
    """One line of the report: ``state`` is 'ok', 'note' or 'missing'; ``cure`` a line to run."""

    state: str
    text: str
    cure: str = ''


def _installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _failure(module: str) -> str | None:
    """Why a module cannot be imported, in one line, or None if it can."""
    try:
        importlib.import_module(module)
    except Exception as error:  # whatever a broken installation throws
        return f'{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ""}'
    return None


def _torch() -> Iterator[Finding]:
    found = _installed('torch')
    if found is None:
        yield Finding('missing', 'torch', 'pip install "torch>=2.4" "torchvision>=0.19"')
        return
    import torch
    device = (torch.cuda.get_device_name(0) if torch.cuda.is_available() else
              f'CPU, {torch.get_num_threads()} threads')
    yield Finding('ok', f'torch {found} on {device}')
    failure = _failure('torchvision')
    if failure:
        yield Finding('missing', f'torchvision: {failure}', 'pip install "torchvision>=0.19"')
    else:
        yield Finding('ok', f'torchvision {_installed("torchvision")}')


def _hosts() -> Iterator[Finding]:
    for host in hosts.HOSTS.values():
        found = _installed(host.distribution)
        cure = f'pip install --no-build-isolation "{host.requirement}"'
        if found is None:
            older = _installed({'mmseg': 'mmsegmentation'}.get(host.module, host.module))
            hint = f' (an unmaintained {host.module} {older} is in its place)' if older else ''
            yield Finding('missing', f'{host.module}{hint}', cure)
        elif found not in SpecifierSet(host.versions):
            yield Finding('missing', f'{host.module} {found} is outside {host.versions}', cure)
        else:
            failure = _failure('mmcv.ops' if host.module == 'mmcv' else host.module)
            if failure:
                yield Finding('missing', f'{host.module} {found}: {failure}',
                              cure.replace('install ', 'install --force-reinstall --no-deps '))
            else:
                yield Finding('ok', f'{host.module} {found} ({host.distribution})')


def _others() -> Iterator[Finding]:
    if _installed('opencv-python') and _installed('opencv-python-headless'):
        yield Finding(
            'note', 'two builds of OpenCV; opencv-python needs libGL',
            'pip uninstall -y opencv-python opencv-python-headless && '
            'pip install --no-deps "opencv-python-headless>=4.9,<5"')
    for module, requirement, use in OPTIONAL:
        found = _installed(module)
        if found:
            yield Finding('ok', f'{module} {found} ({use})')
        else:
            yield Finding('note', f'{module} is not installed ({use})', f'pip install "{requirement}"')
    for variable, what in (('MMEXT_TOY_DATA', 'toy data'), ('MMEXT_REAL_DATA', 'real data')):
        folder = os.environ.get(variable)
        if folder and not Path(folder).is_dir():
            yield Finding('missing', f'{variable}={folder} ({what}): no such folder',
                          f'unset {variable}')


def findings() -> list[Finding]:
    """Everything ``mmext doctor`` has to say about this environment."""
    return [
        Finding('ok', f'mmext {__version__}, Python {platform.python_version()} '
                f'({sys.executable})'), *_torch(), *_hosts(), *_others()
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mmext doctor``."""
    parser.add_argument(
        '--fix', action='store_true',
        help="arm the import-time repairs in every process of this environment, so that the hosts' "
             f'own tools have them too (writes {hosts.START_UP_FILE} beside the packages)')


def run(args: argparse.Namespace) -> int:
    """Print the report. Exit code 1 if something that mmext needs is missing."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    marks = {'ok': '[green]ok     [/]', 'note': '[yellow]note   [/]', 'missing': '[red]missing[/]'}
    if args.fix:
        file = hosts.arm_every_process(Path(sysconfig.get_path('purelib')))
        console.print(f'wrote {file}\n')
    report = findings()
    for finding in report:
        console.print(f'{marks[finding.state]} {finding.text}')
        if finding.cure:
            console.print(f'        {finding.cure}')
    console.print('\nRepairs of the hosts:')
    for repair in hosts.REPAIRS:
        state = 'active' if repair.needed() else 'not needed here'
        console.print(f'  {repair.name}: {state}. {repair.reason}; goes when {repair.until}.')
    if (Path(sysconfig.get_path('purelib')) / hosts.START_UP_FILE).is_file():
        console.print("  They are armed in every process, the hosts' own tools included.")
    else:
        console.print("  The hosts' own tools do not have them: mmext doctor --fix")
    return int(any(finding.state == 'missing' for finding in report))


def main(argv: Sequence[str] | None = None) -> int:
    """``mmext doctor``."""
    return run_command(__name__, argv)
