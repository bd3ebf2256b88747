"""The classic trap: a ``*_pipeline`` variable overridden in an heir, its dataset left as it was."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .chain import inheritance_chain, merged_values
from .problem import Problem


def check_pipelines(cfg: Mapping[str, Any], file: str | None) -> Iterator[Problem]:
    """Report overridden top-level pipelines that no longer reach a dataset.

    A base config says ``train_pipeline = [...]`` and hands it to a dataset. An heir that assigns
    ``train_pipeline`` again changes the variable, not the dataset, which keeps the base's list.

    Args:
        cfg: The resolved config, overrides merged.
        file: Its file; without one there is no inheritance to look at.
    """
    if not file:
        return
    variables = {name: value for name, value in cfg.items()
                 if name.endswith('_pipeline') and isinstance(value, list)}
    unused = {name: value for name, value in variables.items()
              if name != 'tta_pipeline' and not _is_used(value, cfg, variables)}
    if not unused:
        return
    # Only now look at the files, and only at those that name one: most configs have none unused.
    earlier = [merged_values(path) for path in inheritance_chain(Path(file))
               if any(name in path.read_text(encoding='utf-8') for name in unused)]
    for name, value in unused.items():
        for base in reversed(earlier):
            old = base.get(name)
            if isinstance(old, list) and _plain(old) != _plain(value):
                place = _place(old, {key: one for key, one in cfg.items() if key not in variables})
                if place:
                    yield Problem(name, 'is overridden but no longer reaches a dataset: '
                                  f'{place} still has the base config\'s list',
                                  suggestion=f'also set {place}={name}')
                    break


def _is_used(value: list[Any], cfg: Mapping[str, Any], variables: Mapping[str, Any]) -> bool:
    others = {key: one for key, one in cfg.items() if key not in variables}
    return _place(value, others) is not None


def _place(value: list[Any], tree: Any, path: str = '') -> str | None:
    """Dotted path of the first place in ``tree`` that equals ``value``."""
    wanted = _plain(value)

    def search(node: Any, where: str) -> str | None:
        if isinstance(node, Mapping):
            children: Any = node.items()
        elif isinstance(node, (list, tuple)):
            if _plain(node) == wanted:
                return where
            children = enumerate(node)
        else:
            return None
        for key, child in children:
            found = search(child, f'{where}.{key}' if where else str(key))
            if found:
                return found
        return None

    return search(tree, path)


def _plain(value: Any) -> Any:
    """``value`` as plain lists and dicts, scopes left out, so that copies compare equal."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items() if key != '_scope_'}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value
