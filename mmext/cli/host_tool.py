"""Run a tool that a host package ships, in this process."""
from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from .. import hosts
from ..errors import UserError, did_you_mean


def find_host_tool(host: str, relative_path: str) -> Path:
    """The file of a host's tool.

    Args:
        host: Import name of the host, for example ``'mmdet'``.
        relative_path: Place under the host's ``tools/``, for example ``'misc/split_coco.py'``.

    Raises:
        UserError: If the host is not installed, or ships no such tool.
    """
    spec = importlib.util.find_spec(host)
    if spec is None or not spec.submodule_search_locations:
        known = hosts.HOSTS.get(host)
        if known is None:
            raise UserError(f"no host '{host}'{did_you_mean(host, hosts.HOSTS)}")
        raise UserError(f"{relative_path} is {host}'s, which is not installed: "
                        f"pip install --no-build-isolation '{known.requirement}'")
    package = Path(next(iter(spec.submodule_search_locations)))
    # Wheels carry the tools in .mim; a host that is installed from a checkout has them beside it.
    folders = (package / '.mim' / 'tools', package.parent / 'tools')
    for folder in folders:
        if (folder / relative_path).is_file():
            return folder / relative_path
    have = [path.relative_to(folder).as_posix() for folder in folders[:1]
            for path in folder.rglob('*.py')]
    raise UserError(f'{host} ships no tool {relative_path}{did_you_mean(relative_path, have)}')


@contextlib.contextmanager
def _stage(path: Path, name: str, argv: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Run ``path`` as a module called ``name`` that finds ``argv`` as the process's arguments.

    :func:`runpy.run_path` would do, were it not for the tool's file as ``sys.argv[0]``, which help
    and error messages then show, and for yielding a copy of the globals.
    """
    hosts.repair()
    # A figure is written to a file; without a display pyplot's default backend fails instead.
    if not os.environ.get('DISPLAY'):
        os.environ.setdefault('MPLBACKEND', 'Agg')
    module = ModuleType(name)
    module.__file__ = str(path)
    before, module_before = sys.argv, sys.modules.get(name)
    sys.argv, sys.modules[name] = list(argv), module
    try:
        exec(compile(path.read_text(encoding='utf-8'), str(path), 'exec'), module.__dict__)
        yield module.__dict__
    finally:
        sys.argv = before
        if module_before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = module_before


@contextlib.contextmanager
def host_tool_namespace(host: str, relative_path: str,
                        argv: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A host's tool, loaded but not started, so that one of its functions can be replaced.

    Args:
        host: Import name of the host.
        relative_path: Place under the host's ``tools/``.
        argv: What the tool finds as its arguments.

    Yields:
        The tool's globals; changes are seen by its functions.

    Raises:
        UserError: If the host is not installed or ships no such tool.
    """
    path = find_host_tool(host, relative_path)
    with _stage(path, f'mmext_{host}_{path.stem}', [path.name, *argv]) as namespace:
        yield namespace


def run_host_tool(host: str, relative_path: str, argv: Sequence[str],
                  prog: str | None = None) -> int:
    """Run a host's tool as if it had been started as a script, with the hosts repaired.

    Args:
        host: Import name of the host.
        relative_path: Place under the host's ``tools/``.
        argv: The tool's arguments; ``['--help']`` works.
        prog: What the tool calls itself in its help; the running script's name by default.

    Returns:
        Its exit code.

    Raises:
        UserError: If the host is not installed or ships no such tool.
    """
    path = find_host_tool(host, relative_path)
    try:
        with _stage(path, '__main__', [prog or os.path.basename(sys.argv[0]), *argv]):
            pass
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            return stop.code or 0
        print(stop.code, file=sys.stderr)
        return 1
    return 0
