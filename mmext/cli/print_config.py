"""Print a resolved config, or explain which file gives a key its value."""
from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError, nearest
from ._common import add_config_arguments, run_command
from .config import load_config, parse_cfg_options

if TYPE_CHECKING:
    from mmengine.config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_config_arguments(parser)
    parser.add_argument('--explain', metavar='KEY',
                        help='say which files set this key, in order; dotted, list indices '
                             'allowed: param_scheduler.1.milestones')
    parser.add_argument('--save-path', help='also write the config here (.py, .json or .yml)')


def _shown(path: Path) -> str:
    """``path`` as short as it can be said: relative, or ``package::path``."""
    for index, part in enumerate(path.parts):
        if part == '.mim' and path.parts[index + 1:index + 2] == ('configs',):
            return f'{path.parts[index - 1]}::{Path(*path.parts[index + 2:]).as_posix()}'
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _short(value: Any, width: int = 100) -> str:
    text = repr(value)
    return text if len(text) <= width else f'{text[:width - 3]}...'


def _unknown_key(cfg: Config, key: str) -> UserError:
    from ..engine.config_check.chain import all_keys, split_key
    wanted = '.'.join(split_key(key))
    keys = list(all_keys(cfg.to_dict()))
    leaf = wanted.rpartition('.')[2]
    same_leaf = [name for name in keys if name.rpartition('.')[2] == leaf]
    found = nearest(wanted, keys) or sorted(same_leaf, key=len)[:3]
    if not found:
        leaves = {name.rpartition('.')[2]: name for name in sorted(keys, key=len, reverse=True)}
        found = [leaves[match] for match in nearest(leaf, leaves)]
    hint = '\nNearest:' + ''.join(f'\n  {name}' for name in found) if found else ''
    return UserError(f"the config has no key '{key}'{hint}")


def explain(cfg: Config, key: str, overrides: dict[str, Any]) -> str:
    """The value of ``key`` in ``cfg`` and every file (and override) that had a say in it.

    Args:
        cfg: A loaded config, overrides merged.
        key: Dotted; list indices allowed.
        overrides: What ``--cfg-options`` set, by dotted key.

    Returns:
        Text to print.

    Raises:
        UserError: If the config has no such key; names the nearest ones.
    """
    from ..engine.config_check.chain import MISSING, look_up, origins, split_key
    parts = split_key(key)
    value = look_up(cfg.to_dict(), parts)
    if value is MISSING:
        raise _unknown_key(cfg, key)
    rows = []
    for origin in origins(Path(cfg.filename), key):
        place = _shown(origin.file) + (f':{origin.line}' if origin.line else '')
        if origin.value is MISSING:
            verb, shown = 'removes it', ''
        else:
            verb = 'sets' if origin.changed else 'repeats'
            shown = _short(origin.value)
        rows.append((place, verb, shown))
    for option in overrides:
        option_parts = split_key(option)
        shorter = min(len(option_parts), len(parts))
        if option_parts[:shorter] == parts[:shorter]:
            rows.append((f'--cfg-options {option}', 'sets', _short(value)))
    width = max((len(row[0]) for row in rows), default=0)
    lines = [f'{".".join(parts)} = {_short(value, 1000)}', '']
    for number, (place, verb, shown) in enumerate(rows, 1):
        mark = '  <- wins' if number == len(rows) else ''
        lines.append(f'  {number}. {place:<{width}}  {verb} {shown}{mark}'.rstrip())
    return '\n'.join(lines)


def save(cfg: Config, path: str) -> None:
    """Write ``cfg`` to ``path`` under a temporary name, then rename.

    Raises:
        UserError: If the suffix is none of a config's or the folder does not exist.
    """
    target = Path(path)
    if target.suffix not in ('.py', '.json', '.yml'):
        raise UserError(f"--save-path: '{path}' must end in .py, .json or .yml")
    if not target.parent.is_dir():
        raise UserError(f"--save-path: there is no folder '{target.parent}'")
    temporary = target.with_name(f'.{target.stem}.{os.getpid()}{target.suffix}')
    try:
        cfg.dump(temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def run(args: argparse.Namespace) -> int:
    """Print the config or the explanation; returns 0."""
    cfg = load_config(args.config, args.cfg_options)
    if args.explain:
        print(explain(cfg, args.explain, parse_cfg_options(args.cfg_options)))
    else:
        print(cfg.pretty_text)
    if args.save_path:
        save(cfg, args.save_path)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; see :func:`mmext.cli._common.run_command`."""
    return run_command(__name__, argv)
