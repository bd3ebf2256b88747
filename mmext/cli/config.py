"""Find, load and override config files, with errors that name the file and the nearest choice."""
from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import hosts
from ..engine.config_check import RUNNER_KEYS
from ..errors import UserError, did_you_mean, nearest

if TYPE_CHECKING:
    from mmengine.config import Config

SUFFIXES = ('.py', '.json', '.yml', '.yaml')

# ------------------------------------------------------------------------------------------ names


def _config_root(package: str) -> Path:
    """The folder of configs that ``package`` ships.

    Raises:
        UserError: If the package is unknown, missing, or ships none.
    """
    known = (*(name for name in hosts.HOSTS if name not in ('mmengine', 'mmcv')), 'mmext')
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        if package in hosts.HOSTS:
            raise UserError(f"'{package}::' configs need {package}, which is not installed: "
                            f"pip install '{hosts.HOSTS[package].requirement}'")
        raise UserError(f"no package '{package}' to take a config from"
                        f"{did_you_mean(package, known)} (have: {', '.join(known)})")
    root = Path(next(iter(spec.submodule_search_locations)))
    for folder in (root / '.mim' / 'configs', root / 'configs'):
        if folder.is_dir():
            return folder
    raise UserError(f'{package} ships no configs (no {root / ".mim" / "configs"})')


def config_files(folder: Path) -> Iterator[str]:
    """Names of the config files under ``folder``, relative, with forward slashes."""
    for path in folder.rglob('*.py'):
        if '__pycache__' not in path.parts:
            yield path.relative_to(folder).as_posix()


def _missing(name: str, folder: Path, wanted: str) -> UserError:
    """The error for a config ``wanted`` that is not under ``folder``: by path, then by name."""
    if folder == Path():  # the working directory may hold a lot: look at its own files and configs/
        files = [path.name for path in folder.glob('*.py')]
        files += [f'configs/{file}' for file in config_files(Path('configs'))]
    else:
        files = list(config_files(folder))
    found = nearest(wanted, files)
    if not found:
        by_name = {file.rpartition('/')[2]: file for file in files}
        found = [by_name[match] for match in nearest(wanted.rpartition('/')[2], by_name)]
    prefix = name.rpartition('::')[0]
    shown = [f'{prefix}::{file}' if prefix else str(folder / file) for file in found]
    hint = '\nNearest:\n  ' + '\n  '.join(shown) if shown else ''
    return UserError(f"no config file '{name}'{hint}")


def _nearest_folder(path: Path) -> Path:
    """The closest existing ancestor of ``path`` to search: never higher than two levels."""
    for parent in list(path.parents)[:3]:
        if parent.is_dir() and parent.resolve() not in (Path.cwd(), Path('/')):
            return parent
    return Path()


def find_config(name: str) -> Path:
    """The file that a config's name means.

    Args:
        name: A path, or ``package::path`` for a config that a package ships, for example
            ``mmdet::atss/atss_r50_fpn_1x_coco.py`` (the suffix may be left out).

    Raises:
        UserError: If there is none; names the nearest ones.
    """
    if '::' in name:
        package, _, wanted = name.partition('::')
        folder = _config_root(package)
        path = folder / wanted
    else:
        wanted = Path(name).as_posix()
        path = Path(name).expanduser()
        folder = _nearest_folder(path)
        if folder in path.parents:
            wanted = path.relative_to(folder).as_posix()
    if path.is_dir():
        files = sorted(file.name for file in path.iterdir() if file.suffix in SUFFIXES)
        listing = ''.join(f'\n  {file}' for file in files[:12]) or ' (it has no configs)'
        raise UserError(f"'{name}' is a folder; choose one of its configs:{listing}")
    if path.suffix not in SUFFIXES and not path.is_file():
        path = path.with_name(path.name + '.py')
    if not path.is_file():
        raise _missing(name, folder, wanted)
    if path.suffix not in SUFFIXES:
        raise UserError(f"'{name}' is not a config: expected {', '.join(SUFFIXES)}")
    return path.absolute()


# --------------------------------------------------------------------------------------- overrides


def parse_cfg_options(options: Sequence[str] | None) -> dict[str, Any]:
    """``KEY=VALUE`` strings of ``--cfg-options`` as a flat dictionary of dotted keys.

    Raises:
        UserError: If one has no ``=``.
    """
    from mmengine.config import DictAction
    parsed = {}
    for option in options or ():
        key, equals, value = option.partition('=')
        if not equals or not key:
            raise UserError(f"--cfg-options: '{option}' is not KEY=VALUE, for example "
                            'optim_wrapper.optimizer.lr=0.01')
        try:
            parsed[key] = DictAction._parse_iterable(value)
        except (AssertionError, ValueError) as error:
            raise UserError(f"--cfg-options: cannot read '{option}': {error}") from None
    return parsed


def _check_option(cfg: Config, key: str) -> None:
    """Refuse a dotted ``key`` whose parent does not exist in ``cfg`` but nearly does."""
    node: Any = cfg
    parts = key.split('.')
    for depth, part in enumerate(parts):
        where = '.'.join(parts[:depth])
        if isinstance(node, (list, tuple)):
            if not part.isdigit() or int(part) >= len(node):
                raise UserError(f"--cfg-options {key}: '{where}' is a list of {len(node)}; "
                                f"'{part}' is not one of its indices")
            node = node[int(part)]
            continue
        if not isinstance(node, Mapping) and depth:
            raise UserError(f"--cfg-options {key}: '{where}' is {node!r}, which has no keys")
        if part in node:
            node = node[part]
            continue
        is_leaf = depth == len(parts) - 1
        choices = {*node, *RUNNER_KEYS} if depth == 0 else set(node)
        if (depth == 0 and part in RUNNER_KEYS) or (is_leaf and depth):
            return  # a new setting; whether its owner takes it is the config check's business
        hint = did_you_mean(part, choices)
        if hint or (not is_leaf and depth == 0):
            owner = f"'{where}' has no" if where else 'the config has no'
            raise UserError(f"--cfg-options {key}: {owner} key '{part}'{hint}")
        return


def apply_cfg_options(cfg: Config, options: Sequence[str] | None) -> None:
    """Merge ``--cfg-options`` into ``cfg``.

    Raises:
        UserError: If a key's parent does not exist in the config.
    """
    parsed = parse_cfg_options(options)
    for key in parsed:
        _check_option(cfg, key)
    try:
        cfg.merge_from_dict(parsed)
    except (KeyError, TypeError) as error:
        raise UserError(f'--cfg-options: {error}') from None


# ----------------------------------------------------------------------------------------- loading


def _explain_failure(name: str, error: Exception) -> UserError:
    """The config's own mistake behind an exception that loading it raised."""
    path, line = name, 0
    for frame in traceback.extract_tb(error.__traceback__):
        # mmengine compiles a config under its real file name, so the frame names file and line.
        is_config = frame.name == '<module>' and frame.filename.endswith('.py')
        if is_config and 'importlib' not in frame.filename and '/mmengine/' not in frame.filename:
            path, line = frame.filename, frame.lineno or 0
    if isinstance(error, FileNotFoundError):
        text = str(error)
        missing = Path(text.partition('"')[2].partition('"')[0] or text)
        near = nearest(missing.name, [p.name for p in missing.parent.glob('*.py')]) \
            if missing.parent.is_dir() else []
        hint = ''.join(f'\n  {missing.parent / file}' for file in near)
        return UserError(f"{name}: a _base_ config does not exist: {missing}"
                         + (f'\nNearest:{hint}' if hint else ''))
    if isinstance(error, SyntaxError):
        line, error = error.lineno or 0, SyntaxError(f'syntax error: {error.msg}')
    where = f'{path}, line {line}' if line else path
    kind = '' if isinstance(error, (SyntaxError, ImportError)) else f'{type(error).__name__}: '
    return UserError(f'cannot load the config {where}: {kind}{error}')


def load_config(name: str, cfg_options: Sequence[str] | None = None) -> Config:
    """Load a config and merge the command line's overrides into it.

    Args:
        name: A path or ``package::path``; see :func:`find_config`.
        cfg_options: ``KEY=VALUE`` strings with dotted keys.

    Returns:
        The resolved config.

    Raises:
        UserError: If the file is missing or cannot be loaded, or an override has no place.
    """
    path = find_config(name)
    hosts.arm()
    from mmengine.config import Config
    try:
        cfg = Config.fromfile(path)
    except UserError:
        raise
    except Exception as error:  # a config is a program: anything can go wrong inside it
        raise _explain_failure(str(path), error) from error
    apply_cfg_options(cfg, cfg_options)
    return cfg


def default_work_dir(cfg: Config, work_dir: str | None) -> str:
    """The work directory: the command line's, else the config's, else ``work_dirs/CONFIG_NAME``."""
    if work_dir is not None:
        return work_dir
    return cfg.get('work_dir') or str(Path('work_dirs') / Path(cfg.filename).stem)
