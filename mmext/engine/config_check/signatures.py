"""Which argument names a class or function takes, ``**kwargs`` followed to where they go."""
from __future__ import annotations

import ast
import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any


@functools.cache
def known_arguments(target: Callable[..., Any]) -> frozenset[str] | None:
    """The keyword arguments ``target`` accepts, or None when that cannot be known.

    A constructor's ``**kwargs`` are followed along the method resolution order while they only go
    to ``super().__init__`` (names popped or read on the way count). Anything else that could
    consume or swallow them, or a constructor without readable source, makes the answer None.
    """
    if not inspect.isclass(target):
        return _own_arguments(target, is_method=False)
    names: set[str] = set()
    skips = False  # whether **kwargs may have gone past the next class of the order
    for cls in target.__mro__:
        init = cls.__dict__.get('__init__')
        if init is None:
            if cls.__dict__.get('__new__') not in (None, object.__new__):
                return None  # built by __new__ (tuples, enumerations, ...)
            continue
        if cls is object:
            break
        parameters = _parameters(init)
        if parameters is None:
            return None
        names.update(_keywords(parameters[1:]))
        names |= _renamed(init)
        rest = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)
        if rest is None or _is_torch_module_init(cls):  # torch takes **kwargs only to refuse them
            if skips:
                continue
            return frozenset(names)
        uses = _kwargs_uses(init, rest)
        if uses is None or uses.escapes or not uses.goes_up:
            return None
        names |= uses.read
        skips = skips or uses.skips
    return frozenset(names)


def _own_arguments(function: Callable[..., Any], is_method: bool) -> frozenset[str] | None:
    parameters = _parameters(function)
    if parameters is None or any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return frozenset(_keywords(parameters[1:] if is_method else parameters))


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None


def _keywords(parameters: list[inspect.Parameter]) -> set[str]:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {p.name for p in parameters if p.kind in kinds}


def _is_torch_module_init(cls: type) -> bool:
    return cls.__module__ == 'torch.nn.modules.module' and cls.__name__ == 'Module'


def _renamed(init: Callable[..., Any]) -> set[str]:
    """Old argument names that a decorator around ``init`` still translates (mmcv's habit)."""
    found: set[str] = set()
    while hasattr(init, '__wrapped__'):
        for cell in init.__closure__ or ():  # type: ignore[attr-defined]
            if isinstance(cell.cell_contents, dict):
                found.update(name for name in cell.cell_contents if isinstance(name, str))
        init = init.__wrapped__
    return found


def _kwargs_uses(init: Callable[..., Any], kwargs: str) -> _KwargsUses | None:
    """What ``init`` does with its ``**kwargs``; None without readable source."""
    try:
        source = textwrap.dedent(inspect.getsource(inspect.unwrap(init)))
        tree = ast.parse(source)
    except (OSError, TypeError, SyntaxError):
        return None
    visitor = _KwargsUses(kwargs)
    visitor.visit(tree)
    return visitor


class _KwargsUses(ast.NodeVisitor):
    """Collects what a constructor does with its ``**kwargs``."""

    def __init__(self, kwargs: str) -> None:
        self.kwargs = kwargs
        self.read: set[str] = set()  # names taken out on the way
        self.escapes = False  # used in a way that cannot be followed
        self.goes_up = False  # handed to an ancestor's constructor, which refuses unknown names
        self.skips = False  # handed to a named ancestor, perhaps not the next one

    def _is_kwargs(self, node: ast.AST | None) -> bool:
        return isinstance(node, ast.Name) and node.id == self.kwargs

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        if isinstance(function, ast.Attribute) and self._is_kwargs(function.value):
            names = [a.value for a in node.args[:1] if isinstance(a, ast.Constant)]
            if function.attr in ('pop', 'get', 'setdefault') and names:
                self.read.add(str(names[0]))
            elif function.attr != 'update':
                self.escapes = True
            for argument in node.args[1:]:
                self.visit(argument)
            return
        upwards = isinstance(function, ast.Attribute) and function.attr == '__init__'
        if isinstance(function, ast.Attribute) and upwards:
            self.skips = self.skips or not self._is_plain_super(function)
        self.visit(function)
        for argument in node.args:
            self.visit(argument)
        for keyword in node.keywords:
            if keyword.arg is None and self._is_kwargs(keyword.value) and upwards:
                self.goes_up = True
                continue
            self.visit(keyword.value)

    @staticmethod
    def _is_plain_super(function: ast.Attribute) -> bool:
        owner = function.value
        return isinstance(owner, ast.Call) and isinstance(owner.func, ast.Name) \
            and owner.func.id == 'super' and not owner.args

    def visit_Assign(self, node: ast.Assign) -> None:
        """``kwargs = {'name': default, **kwargs}`` keeps them what they are."""
        value = node.value
        if len(node.targets) == 1 and self._is_kwargs(node.targets[0]):
            if isinstance(value, ast.Dict):
                pairs: list[tuple[ast.expr | None, ast.expr]] = list(
                    zip(value.keys, value.values, strict=True))
            elif isinstance(value, ast.Call) and isinstance(value.func, ast.Name) \
                    and value.func.id == 'dict' and not value.args:
                pairs = [(ast.Constant(keyword.arg) if keyword.arg else None, keyword.value)
                         for keyword in value.keywords]
            else:
                pairs = [(None, value)]
            for name, content in pairs:
                if isinstance(name, ast.Constant):
                    self.read.add(str(name.value))
                elif name is None and self._is_kwargs(content):
                    continue
                self.visit(content)
            return
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if self._is_kwargs(node.value) and isinstance(node.slice, ast.Constant):
            self.read.add(str(node.slice.value))
            return
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        if isinstance(node.left, ast.Constant) and len(node.comparators) == 1 \
                and self._is_kwargs(node.comparators[0]):
            self.read.add(str(node.left.value))
            return
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id == self.kwargs:
            self.escapes = True


@functools.cache
def mentions(owner: Any, name: str) -> bool:
    """Whether the source around ``owner`` (its module, its ancestors') quotes ``name``.

    An owner that takes a key out of a nested config, or gives a ``type`` a meaning of its own,
    spells it; what nobody spells, nobody reads.
    """
    quoted = re.compile(rf"""(['"]){re.escape(name)}\1""")
    return any(quoted.search(text) for text in _sources(owner))


@functools.cache
def gives_meaning_to(owner: Any, name: str) -> bool:
    """Whether the source around ``owner`` compares or maps the ``type`` called ``name``.

    Unlike :func:`mentions`, defaults such as ``dict(type='FocalLoss')`` do not count: there the
    name is left to a registry.
    """
    quoted = re.compile(rf"""(?<!type=)(?<!type':\ )(?<!type":\ )(['"]){re.escape(name)}\1""")
    return any(quoted.search(text) for text in _sources(owner))


def _sources(owner: Any) -> Iterator[str]:
    return map(source, owner.__mro__ if inspect.isclass(owner) else (owner, ))


def source(target: Any) -> str:
    """Source of the module that defines ``target``; empty for torch's, builtins and unreadable."""
    module = inspect.getmodule(target)
    if module is None or module.__name__ == 'builtins' or module.__name__.startswith('torch.'):
        return ''
    return _module_source(module)


@functools.cache
def _module_source(module: Any) -> str:
    try:
        return inspect.getsource(module)
    except (OSError, TypeError):
        return ''
