"""Reads files for the doctor's checks and remembers them on disk, keyed by size and time."""
from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from typing import Any, TypeVar

from .headers import Header, read_header

VERSION = 1
_MISSING = [-1, 0]
_THREADS = min(16, 4 * (os.cpu_count() or 1))
_BATCH = 64
_PROGRESS_FROM = 2000  # files; fewer are done before a bar is drawn

T = TypeVar('T')


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/mmext/data``, by default ``~/.cache/mmext/data``."""
    root = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(root) / 'mmext' / 'data'


def stamp(path: str) -> list[int]:
    """Size and modification time of a file (for a folder the time alone); [-1, 0] without one."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return list(_MISSING)
    return [0 if os.path.isdir(path) else status.st_size, status.st_mtime_ns]


class Scan:
    """Everything the checks of one dataset read, and the cache behind it.

    Args:
        identity: What the dataset is: its class and settings. Datasets of the same identity share
            a cache file.
        use_cache: Whether to read and write the cache.
    """

    def __init__(self, identity: str, use_cache: bool = True) -> None:
        name = hashlib.sha256(f'{VERSION}\n{identity}'.encode()).hexdigest()[:24]
        self.file = cache_folder() / f'{name}.json'
        self.use_cache = use_cache
        self._old = self._load() if use_cache else {}
        self._stamps: dict[str, list[int]] = {}
        self._facts: dict[str, dict[str, Any]] = {'header': {}, 'labels': {}}

    def _load(self) -> dict[str, Any]:
        try:
            old = json.loads(self.file.read_text(encoding='utf-8'))
        except (OSError, ValueError):
            return {}
        return old if isinstance(old, dict) and {'stamps', 'facts', 'result'} <= set(old) else {}

    # ------------------------------------------------------------------------------ whole result

    def earlier_result(self) -> Any:
        """What :meth:`store` was given, if no file has changed since; else None."""
        old: dict[str, list[int]] = self._old.get('stamps', {})
        if not old:
            return None
        for path, now in zip(old, self._map(stamp, list(old)), strict=True):
            if now != old[path]:
                return None
        return self._old['result']

    def store(self, result: Any) -> None:
        """Remember ``result`` and the facts it came from; a cache that cannot be written is none."""
        if not self.use_cache:
            return
        content = json.dumps(dict(stamps=self._stamps, facts=self._facts, result=result))
        part = self.file.with_suffix(f'.{os.getpid()}.part')
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(content, encoding='utf-8')
            os.replace(part, self.file)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()

    # ------------------------------------------------------------------------------------ facts

    def watch(self, *paths: str) -> None:
        """Note files and folders that the result depends on."""
        for path in paths:
            if path not in self._stamps:
                self._stamps[path] = stamp(path)

    def headers(self, paths: Iterable[str]) -> dict[str, Header]:
        """Headers of images, each file opened only if it is not known yet."""
        facts = self._gather('header', list(dict.fromkeys(paths)),
                             lambda path: list(astuple(read_header(path))), 'headers')
        return {path: Header(*fact) for path, fact in facts.items()}

    def images(self) -> list[str]:
        """Every path that is an image."""
        return [path for path, fact in self._facts['header'].items() if fact[3] in ('', 'truncated')]

    def labels(self, paths: Sequence[str],
               read: Callable[[str], Any]) -> dict[str, Any]:
        """``read(path)`` (JSON values) of every label map, from the cache where it is known."""
        return self._gather('labels', paths, read, 'label maps')

    def _gather(self, kind: str, paths: Sequence[str], read: Callable[[str], Any],
                what: str) -> dict[str, Any]:
        known = self._old.get('facts', {}).get(kind, {})
        before = self._old.get('stamps', {})
        new = [path for path in paths if path not in self._stamps]
        self._stamps.update(zip(new, self._map(stamp, new), strict=True))
        facts = self._facts[kind]
        stale = []
        for path in paths:
            if path in known and before.get(path) == self._stamps[path]:
                facts[path] = known[path]
            elif path not in facts:
                stale.append(path)
        facts.update(zip(stale, self._map(read, stale, what), strict=True))
        return {path: facts[path] for path in paths}

    @staticmethod
    def _map(function: Callable[[str], T], paths: Sequence[str], what: str = '') -> list[T]:
        """``function`` of every path in threads; a bar where that takes long and somebody looks."""
        batches = [paths[start:start + _BATCH] for start in range(0, len(paths), _BATCH)]
        with ThreadPoolExecutor(_THREADS) as pool:
            results: Iterable[list[T]] = pool.map(
                lambda batch: [function(path) for path in batch], batches)
            if what and len(paths) >= _PROGRESS_FROM and sys.stderr.isatty():
                from rich.console import Console
                from rich.progress import track
                results = track(results, f'reading {what}', len(batches), transient=True,
                                console=Console(stderr=True))
            return [one for batch in results for one in batch]
