"""Find what a ``type`` names, the way mmengine does, and say what is near when nothing is found."""
from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mmengine.registry as roots
from mmengine.registry import Registry

from ...errors import nearest
from ...hosts import HOSTS

#: Packages whose constructors are known to build every nested ``type`` from a registry.
KNOWN_PACKAGES = frozenset((*HOSTS, 'mmext', 'torch', 'torchvision'))

#: Where a nested ``type`` of unknown role is looked for: first these two, then everywhere.
COMMON = (roots.MODELS, roots.TASK_UTILS)
ALL = tuple(value for value in vars(roots).values() if isinstance(value, Registry))


def is_known(target: Any) -> bool:
    """Whether ``target`` comes from a host, torch or mmext."""
    return str(getattr(target, '__module__', '')).partition('.')[0] in KNOWN_PACKAGES


def scope_in(cfg: Any, outer: str) -> str:
    """The default scope in force inside ``cfg``."""
    scope = cfg.get('_scope_')
    return scope if scope and isinstance(scope, str) else outer


class Resolver:
    """Looks type names up; remembers answers and import failures.

    Attributes:
        broken: Scope -> why its modules could not be imported.
    """

    def __init__(self) -> None:
        self.broken: dict[str, str] = {}
        self._found: dict[tuple[str, str, str], Callable[..., Any] | None] = {}

    # -------------------------------------------------------------------------------- finding

    def node(self, root: Registry, scope: str) -> Registry:
        """The registry in which mmengine starts a search under default scope ``scope``."""
        self._import_scope(scope)
        found = root._search_child(scope)
        return root if found is None else found  # an empty registry is falsy

    def find(self, root: Registry, scope: str, name: str) -> Callable[..., Any] | None:
        """What ``name`` means to ``root.build`` under ``scope``; None if nothing."""
        key = (root.name, scope, name)
        if key not in self._found:
            self._found[key] = self._find(root, scope, name)
        return self._found[key]

    def _find(self, root: Registry, scope: str, name: str) -> Callable[..., Any] | None:
        node = self.node(root, scope)
        try:
            found = node.get(name)
        except (KeyError, RuntimeError):  # no such name
            return None
        except Exception as error:  # importing the scope's modules failed: anything goes
            self.broken.setdefault(_scope_of(name) or scope, f'{type(error).__name__}: {error}')
            return None
        return found if callable(found) else None

    def find_any(self, scope: str, name: str) -> list[Callable[..., Any]]:
        """Everything ``name`` could mean where the role of the dict is not known."""
        for group in (COMMON, self._others(_scope_of(name) or scope)):
            found = [self.find(root, scope, name) for root in group]
            distinct = list({id(one): one for one in found if one is not None}.values())
            if distinct:
                return distinct
        return []

    def _others(self, scope: str) -> Iterator[Registry]:
        yield from (root for root in ALL if root not in COMMON)
        self._import_scope(scope)
        module = sys.modules.get(f'{scope}.registry')
        for value in vars(module).values() if module else ():
            if isinstance(value, Registry) and value.parent is None:
                yield value  # a host's registry outside mmengine's tree (mmpretrain has two)

    def _import_scope(self, scope: str) -> None:
        try:
            importlib.import_module(f'{scope}.registry')
        except ModuleNotFoundError:
            pass
        except Exception as error:
            self.broken.setdefault(scope, f'{type(error).__name__}: {error}')

    # --------------------------------------------------------------------------- explaining

    def why_missing(self, candidates: Sequence[Registry], scope: str,
                    name: str) -> tuple[str, str]:
        """Message and suggestion for a ``name`` that is nowhere.

        Args:
            candidates: The root registries that were searched.
            scope: The default scope in force.
            name: The ``type`` as written.
        """
        prefix = _scope_of(name)
        searched = prefix or scope
        if searched in self.broken:
            return (f"type '{name}' cannot be looked up: importing {searched} failed with "
                    f'{self.broken[searched]}', '')
        if prefix and importlib.util.find_spec(prefix) is None:
            if prefix in HOSTS:
                return (f"type '{name}' needs {prefix}, which is not installed",
                        f"run: pip install '{HOSTS[prefix].requirement}'")
            bare = name.rpartition('.')[2]
            having = [scope for root in candidates for scope in self.scopes_with(root, bare)]
            near = having or nearest(prefix, _scopes(), 1)
            return (f"type '{name}': there is no package '{prefix}'",
                    f"did you mean '{near[0]}.{bare}'?" if near else '')
        kinds = ' or '.join(root.name for root in candidates)
        article = 'an' if kinds[0] in 'aeiou' else 'a'
        message = f"type '{name}' is not {article} {kinds} of scope '{searched}'"
        bare = name.rpartition('.')[2]
        elsewhere = [other for root in candidates for other in self.scopes_with(root, bare)
                     if other != searched]
        if elsewhere:
            return message, f"write type='{elsewhere[0]}.{bare}'"
        if prefix and any(self.find(root, scope, bare) for root in candidates):
            return message, f"write type='{bare}' (it is mmengine's)"
        found = nearest(bare, self._names(candidates, searched, own=prefix is not None))
        if found:
            written = [f"'{prefix}.{one}'" if prefix else f"'{one}'" for one in found]
            return message, f"did you mean {' or '.join(written)}?"
        others = [(other, one) for other in _scopes() if other != searched
                  for one in nearest(bare, self._names(candidates, other, own=True), 1)]
        return message, f"did you mean '{others[0][0]}.{others[0][1]}'?" if others else ''

    def scopes_with(self, root: Registry, name: str) -> list[str]:
        """Scopes that register ``name`` themselves."""
        return [scope for scope in _scopes() if name in self._names([root], scope, own=True)]

    def _names(self, candidates: Sequence[Registry], scope: str, own: bool = False) -> set[str]:
        """Names visible under ``scope`` (only its ``own``, or its ancestors' too)."""
        names: set[str] = set()
        for root in candidates:
            node: Registry | None = self.node(root, scope)
            if scope == 'mmext':
                from ... import catalogue
                names.update(name for entry in catalogue.CATALOGUE for name in entry.names
                             if entry.registry == root.name)
            elif node is not None and scope not in self.broken:
                try:
                    node.import_from_location()
                except Exception as error:
                    self.broken.setdefault(scope, f'{type(error).__name__}: {error}')
            if own and node is root:
                continue
            while node is not None:
                names.update(node.module_dict)
                node = None if own else node.parent
        return names


def _scope_of(name: str) -> str | None:
    return name.partition('.')[0] if '.' in name else None


def _scopes() -> list[str]:
    """The installed packages that register modules."""
    names = (*(name for name in HOSTS if name not in ('mmengine', 'mmcv')), 'mmext')
    return [name for name in names if importlib.util.find_spec(name) is not None]
