"""The files a config is made of, and which of them gives a key its value."""
from __future__ import annotations

import ast
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

MISSING = object()


@dataclass(frozen=True)
class Origin:
    """One file's say in the value of a key.

    Attributes:
        file: The config file.
        line: Line of the assignment, or None where the file computes it.
        value: The key's value once this file is merged; :data:`MISSING` when it removes the key.
        changed: Whether the value differs from the bases' (an assignment may repeat it).
    """

    file: Path
    line: int | None
    value: Any
    changed: bool


# ----------------------------------------------------------------------------------- inheritance


def _is_lazy(file: Path) -> bool:
    from mmengine.config import Config
    return Config._is_lazy_import(str(file))


def base_files(file: Path) -> list[tuple[Path, str | None]]:
    """The files that ``file`` inherits from directly, each with the scope it is taken under."""
    from mmengine.config import Config
    if _is_lazy(file):
        modules = Config._get_base_modules(ast.parse(file.read_text(encoding='utf-8')).body)
        found: list[tuple[Path, str | None]] = []
        for module in modules:
            level = len(module) - len(module.lstrip('.'))
            parts = module.lstrip('.').split('.')
            if level:
                folder = file.parent.joinpath(*['..'] * (level - 1))
            else:
                import importlib.util
                spec = importlib.util.find_spec(parts[0])
                if spec is None or spec.origin is None:
                    continue
                folder, parts = Path(spec.origin).parent, parts[1:]
            found.append((folder.joinpath(*parts).with_suffix('.py').resolve(), None))
        return found
    with tempfile.TemporaryDirectory() as folder_name:
        copy = str(Path(folder_name) / f'config{file.suffix}')
        Config._substitute_predefined_vars(str(file), copy)
        names = Config._get_base_files(copy)
    return [(Path(path).resolve(), scope)
            for path, scope in (Config._get_cfg_path(name, str(file)) for name in names)]


def inheritance_chain(file: Path) -> list[Path]:
    """``file`` and all it inherits from, bases before heirs, ``file`` last, each once."""
    chain: dict[Path, None] = {}

    def visit(path: Path) -> None:
        for base, _ in base_files(path):
            if base not in chain:
                visit(base)
        chain[path] = None

    visit(file.resolve())
    return list(chain)


def merged_values(file: Path) -> dict[str, Any]:
    """What ``file`` and its bases amount to, as a plain dictionary."""
    from mmengine.config import Config
    if _is_lazy(file):
        return dict(Config.fromfile(file, import_custom_modules=False).to_dict())
    return Config._file2dict(str(file))[0]


# ------------------------------------------------------------------------------------------- keys


def split_key(key: str) -> list[str]:
    """``a.b[0].c`` or ``a.b.0.c`` as its parts."""
    return [part for part in re.split(r'[.\[\]]+', key) if part]


def look_up(tree: Any, parts: Sequence[str]) -> Any:
    """The value at ``parts`` of a nested structure, or :data:`MISSING`."""
    for part in parts:
        if isinstance(tree, Mapping) and part in tree:
            tree = tree[part]
        elif isinstance(tree, (list, tuple)) and part.lstrip('-').isdigit() \
                and -len(tree) <= int(part) < len(tree):
            tree = tree[int(part)]
        else:
            return MISSING
    return tree


def all_keys(tree: Any, prefix: str = '', depth: int = 12) -> Iterator[str]:
    """Every dotted key of a nested structure, list indices included."""
    items: Any = ()
    if isinstance(tree, Mapping):
        items = tree.items()
    elif isinstance(tree, (list, tuple)):
        items = enumerate(tree)
    for name, value in items:
        key = f'{prefix}.{name}' if prefix else str(name)
        yield key
        if depth:
            yield from all_keys(value, key, depth - 1)


def origins(file: Path, key: str) -> list[Origin]:
    """Every file of the inheritance chain that assigns or changes ``key``, in merging order.

    Args:
        file: The config file.
        key: Dotted; list indices allowed (``param_scheduler.1.milestones``).

    Returns:
        One entry per file that has a say, the winner last; empty when nothing sets the key.
    """
    parts = split_key(key)
    found = []
    values: dict[Path, dict[str, Any]] = {}
    for path in inheritance_chain(file):
        values[path] = merged_values(path)
        inherited: dict[str, Any] = {}
        for base, _ in base_files(path):
            inherited.update(values[base])
        value, before = look_up(values[path], parts), look_up(inherited, parts)
        line = None
        if path.suffix == '.py':
            line = _find_line(path, parts)
        changed = not _same(value, before)
        if changed or (line is not None and value is not MISSING):
            found.append(Origin(path, line, value, changed))
    return found


def _same(left: Any, right: Any) -> bool:
    if left is MISSING or right is MISSING:
        return left is right
    return type(left) is type(right) and left == right


# -------------------------------------------------------------------------------- lines, by syntax


def _target_parts(node: ast.expr) -> list[str] | None:
    """``model['backbone'].depth`` as ['model', 'backbone', 'depth']; None for anything else."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        head = _target_parts(node.value)
        return None if head is None else [*head, node.attr]
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        head = _target_parts(node.value)
        return None if head is None else [*head, str(node.slice.value)]
    return None


def _assignments(tree: ast.Module) -> Iterator[tuple[list[str], ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                parts = _target_parts(target)
                if parts:
                    yield parts, node.value
        elif isinstance(node, ast.AugAssign):
            parts = _target_parts(node.target)
            if parts:
                yield parts, node.value


def _find_line(file: Path, parts: Sequence[str]) -> int | None:
    """The line of ``file`` that assigns the key ``parts`` (or a whole that contains it)."""
    assignments = list(_assignments(ast.parse(file.read_text(encoding='utf-8'))))

    def descend(node: ast.expr, rest: Sequence[str], seen: frozenset[str]) -> int | None:
        if isinstance(node, ast.Name) and node.id not in seen:
            return search([node.id, *rest], seen | {node.id})
        if not rest:
            return node.lineno
        part = rest[0]
        if _is_dict_call(node):
            for keyword in node.keywords:
                if keyword.arg == part:
                    return _keyword_line(keyword, descend(keyword.value, rest[1:], seen), rest)
                if keyword.arg is None:
                    line = descend(keyword.value, rest, seen)
                    if line is not None:
                        return line
        elif isinstance(node, ast.Dict):
            for name, value in zip(node.keys, node.values):
                if isinstance(name, ast.Constant) and str(name.value) == part:
                    return descend(value, rest[1:], seen)
        elif isinstance(node, (ast.List, ast.Tuple)) and part.isdigit():
            elements = node.elts
            if int(part) < len(elements) and \
                    not any(isinstance(element, ast.Starred) for element in elements):
                return descend(elements[int(part)], rest[1:], seen)
        return None

    def search(wanted: Sequence[str], seen: frozenset[str]) -> int | None:
        for target, value in reversed(assignments):
            if target == list(wanted[:len(target)]):
                line = descend(value, wanted[len(target):], seen)
                if line is not None:
                    return line
        return None

    return search(parts, frozenset())


def _is_dict_call(node: ast.expr) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) \
        and node.func.id == 'dict'


def _keyword_line(keyword: ast.keyword, inner: int | None, rest: Sequence[str]) -> int | None:
    """The line of ``name=value`` rather than of a value that starts on a later line."""
    return keyword.lineno if len(rest) == 1 and not isinstance(keyword.value, ast.Name) else inner
