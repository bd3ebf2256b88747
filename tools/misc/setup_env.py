#!/usr/bin/env python3
"""Make the virtual environment that `make demo` and `make test` run in. Standard library only.

Steps that are done already are skipped, so a second run takes no time and an interrupted one goes
on where it stopped. mmcv is compiled once for a pair of Python and torch and kept as a wheel in
the user's cache (XDG_CACHE_HOME or ~/.cache), where the next checkout finds it.

MMEXT_TORCH_INDEX may name a package index to take torch and torchvision from, for example
https://download.pytorch.org/whl/cpu.
"""
from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = ROOT / 'constraints.txt'
EXTRAS = 'dev,export,fast,text,track'


def fail(message: str) -> None:
    sys.exit(f'setup: {message}')


def pinned(distribution: str) -> str:
    """``name==version`` for a distribution, from constraints.txt."""
    found = re.search(rf'^{distribution}==\S+', CONSTRAINTS.read_text(), re.MULTILINE)
    if found is None:
        fail(f'{CONSTRAINTS} does not pin {distribution}')
    assert found is not None
    return found.group()


def wheel_cache() -> Path:
    home = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(home) / 'mmext' / 'wheels'


class Environment:
    """A virtual environment and what is done to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.python = path / 'bin' / 'python'
        self.stamp = path / '.mmext-installed'

    def wanted(self) -> str:
        """Digest of everything that decides what gets installed."""
        digest = hashlib.sha256(sys.version.encode())
        for file in (CONSTRAINTS, ROOT / 'setup.cfg', Path(__file__)):
            digest.update(file.read_bytes())
        return f'{digest.hexdigest()} {ROOT}'

    def is_ready(self) -> bool:
        return self.stamp.is_file() and self.stamp.read_text() == self.wanted()

    def run(self, *command: str) -> None:
        subprocess.run([str(self.python), *command], check=True, cwd=ROOT)

    def pip(self, *arguments: str) -> None:
        self.run('-m', 'pip', '--disable-pip-version-check', '-q', *arguments)

    def ask(self, code: str) -> str:
        return subprocess.run([str(self.python), '-c', code], check=True, text=True,
                              capture_output=True).stdout.strip()

    def install(self) -> None:
        if not self.python.exists():
            step('virtual environment', lambda: venv.create(self.path, with_pip=True))
        index = os.environ.get('MMEXT_TORCH_INDEX')
        torch = ['-c', str(CONSTRAINTS), pinned('torch'), *(['--index-url', index] if index else [])]
        step('torch', lambda: self.pip('install', *torch))
        # Without its dependencies: they are torch (here) and numpy, pillow (below).
        torchvision = [pinned('torchvision'), *(['--index-url', index] if index else [])]
        step('torchvision', lambda: self.pip('install', '--no-deps', *torchvision))
        step('build tools', lambda: self.pip('install', '-c', str(CONSTRAINTS),
                                             'setuptools', 'wheel', 'ninja'))
        self.install_mmcv()
        step('hosts and mmext', lambda: self.pip(
            'install', '--no-build-isolation', '-c', str(CONSTRAINTS), '-e', f'.[{EXTRAS}]'))
        step('one OpenCV', self.keep_one_opencv)
        step('repairs', lambda: self.run('-m', 'mmext', 'doctor', '--fix'))
        self.stamp.write_text(self.wanted())

    def install_mmcv(self) -> None:
        """Install mmcv from the wheel cache; compile it first if it is not there."""
        build = self.ask('import torch; print(torch.__version__, torch.cuda.is_available())')
        version, has_gpu = build.split()
        key = (f'py{sys.version_info[0]}{sys.version_info[1]}-torch{version}-'
               f'{"cuda" if has_gpu == "True" else "cpu"}')
        folder = wheel_cache() / key
        name = pinned('onedl-mmcv').replace('-', '_').replace('==', '-')
        if not list(folder.glob(f'{name}-*.whl')):
            if not any(shutil.which(compiler) for compiler in ('c++', 'g++', 'clang++')):
                fail('mmcv has to be compiled, but there is no C++ compiler. On Debian or Ubuntu: '
                     'sudo apt-get install g++ python3-dev')
            folder.mkdir(parents=True, exist_ok=True)
            # In a folder of its own, then moved: an interrupted build leaves nothing half-made.
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                step('compiling mmcv (once; about 20 CPU minutes)', lambda: self.pip(
                    'wheel', '--no-build-isolation', '--no-deps', '--no-cache-dir', '-w', scratch,
                    pinned('onedl-mmcv')))
                for wheel in Path(scratch).glob('*.whl'):
                    wheel.replace(folder / wheel.name)
        wheel = next(folder.glob(f'{name}-*.whl'))
        step('mmcv', lambda: self.pip('install', '--no-deps', str(wheel)))

    def keep_one_opencv(self) -> None:
        """Leave only the headless build: the hosts pull in the other too, which needs libGL."""
        self.pip('uninstall', '-y', 'opencv-python', 'opencv-python-headless')
        self.pip('install', '--no-deps', pinned('opencv-python-headless'))


def step(name: str, action: Callable[[], None]) -> None:
    start = time.monotonic()
    print(f'setup: {name} ...', flush=True)
    action()
    print(f'setup: {name}: {time.monotonic() - start:.0f} s', flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('venv', nargs='?', default='.venv', help='folder of the environment')
    environment = Environment(Path(parser.parse_args().venv).absolute())
    if not (3, 10) <= sys.version_info[:2] <= (3, 12):
        fail(f'Python 3.10 to 3.12 is needed, this is {sys.version.split()[0]}. '
             'Choose another with: make PYTHON=python3.11 ...')
    if environment.is_ready():
        return
    start = time.monotonic()
    try:
        environment.install()
    except subprocess.CalledProcessError as error:
        fail(f'failed: {" ".join(map(str, error.cmd))}\nsetup: run the same command again to go on '
             'from here')
    print(f'setup: done in {time.monotonic() - start:.0f} s')


if __name__ == '__main__':
    main()
