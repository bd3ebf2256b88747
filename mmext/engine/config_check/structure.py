"""Walk a config the way the Runner builds it: every ``type`` resolvable, every argument known."""
from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import mmengine.registry as roots
from mmengine.registry import Registry

from ...errors import nearest
from .problem import Problem
from .resolve import COMMON, Resolver, is_known, scope_in
from .rules import (
    CONSUMED_BY_BUILDER,
    CONSUMED_BY_KEY,
    OPAQUE_KEYS,
    OPAQUE_OWNERS,
    OPS_KEYS,
    PART_KEYS,
    ROLE_OF_KEY,
)
from .signatures import gives_meaning_to, known_arguments, mentions

#: The classes whose constructors get a nested dict, innermost first.
Owners = tuple[Any, ...]

#: Keys that are no arguments.
RESERVED = frozenset(('type', '_scope_', '_delete_'))

#: More unknown arguments than this at one place are no typing errors but another type's.
_INHERITED = 2


class StructureCheck:
    """One walk over one config.

    Args:
        cfg: The resolved config as plain containers.
        resolver: Shared between checks, so that hosts are asked once.

    Attributes:
        problems: What was found, in the order of the config.
    """

    def __init__(self, cfg: Mapping[str, Any], resolver: Resolver) -> None:
        self.cfg = cfg
        scope = cfg.get('default_scope')
        self.scope = scope if scope and isinstance(scope, str) else 'mmengine'
        self.resolver = resolver
        self.problems: list[Problem] = []

    # ------------------------------------------------------------------------------ top level

    def run(self, phases: Iterable[str]) -> list[Problem]:
        """Check everything that ``phases`` ('train', 'val', 'test') build."""
        cfg = self.cfg
        self._default_scope()
        self._built('model', roots.MODELS, type_required=True)
        for name, part in _items(cfg.get('model')):
            if name in PART_KEYS and isinstance(part, (str, int, float)):
                self.problems.append(Problem(f'model.{name}', f"is {part!r}, expected a dict with a 'type'"))
        self._built('data_preprocessor', roots.MODELS)
        for phase in phases:
            self._dataloader(f'{phase}_dataloader', cfg.get(f'{phase}_dataloader'))
            self._loop(phase)
            if phase != 'train':
                self._evaluator(f'{phase}_evaluator', cfg.get(f'{phase}_evaluator'))
        if 'train' in phases:
            self._optim_wrapper('optim_wrapper', cfg.get('optim_wrapper'))
            self._schedulers('param_scheduler', cfg.get('param_scheduler'))
        for name, hook in _items(cfg.get('default_hooks')):
            self._value(f'default_hooks.{name}', hook, roots.HOOKS, self.scope, required=True)
        self._value('custom_hooks', cfg.get('custom_hooks'), roots.HOOKS, self.scope, required=True)
        self._built('visualizer', roots.VISUALIZERS)
        self._plain('log_processor', roots.LOG_PROCESSORS, 'mmengine.runner', 'LogProcessor')
        self._built('model_wrapper_cfg', roots.MODEL_WRAPPERS)
        self._built('tta_model', roots.MODELS)
        self._built('tta_pipeline', roots.TRANSFORMS)
        self._name('runner_type', cfg.get('runner_type'), roots.RUNNERS, self.scope)
        return self.problems

    def _default_scope(self) -> None:
        """Without a ``default_scope`` only mmengine's own names resolve; say so once."""
        model = self.cfg.get('model')
        name = model.get('type') if isinstance(model, Mapping) else None
        if self.cfg.get('default_scope') or not isinstance(name, str) or '_scope_' in (model or ()):
            return
        if self.resolver.find(roots.MODELS, self.scope, name) is not None:
            return
        scopes = self.resolver.scopes_with(roots.MODELS, name)
        if scopes:
            self.problems.append(Problem(
                'default_scope', f"is not set, so '{name}' is looked up in mmengine only",
                suggestion=f"add default_scope = '{scopes[0]}'"))
            self.scope = scopes[0]

    def _built(self, key: str, root: Registry, type_required: bool = False) -> None:
        self._value(key, self.cfg.get(key), root, self.scope, required=type_required)

    def _plain(self, key: str, root: Registry, module: str, default: str) -> None:
        """A part whose class has a default when no ``type`` is given."""
        value = self.cfg.get(key)
        if isinstance(value, Mapping) and 'type' not in value:
            target = getattr(__import__(module, fromlist=[default]), default)
            self._arguments(key, value, [target])
        else:
            self._built(key, root)

    def _dataloader(self, path: str, loader: Any) -> None:
        if isinstance(loader, (list, tuple)):
            for index, one in enumerate(loader):
                self._dataloader(f'{path}.{index}', one)
            return
        if not isinstance(loader, Mapping):
            return
        scope = scope_in(loader, self.scope)
        from torch.utils.data import DataLoader
        consumed = {'num_batch_per_epoch', 'disable_subprocess_warning', 'type'}
        known = (known_arguments(DataLoader) or frozenset()) | consumed
        self._unknown_names(path, 'a dataloader', loader, known)
        self._value(f'{path}.dataset', loader.get('dataset'), roots.DATASETS, scope, required=True)
        for key in ('sampler', 'batch_sampler'):
            self._value(f'{path}.{key}', loader.get(key), roots.DATA_SAMPLERS, scope)
        for key in ('collate_fn', 'worker_init_fn'):
            self._value(f'{path}.{key}', loader.get(key), roots.FUNCTIONS, scope)

    def _loop(self, phase: str) -> None:
        key = f'{phase}_cfg'
        value = self.cfg.get(key)
        if not isinstance(value, Mapping):
            return
        if 'type' in value:
            if 'by_epoch' in value:
                self.problems.append(Problem(key, "has both 'type' and 'by_epoch'; the Runner "
                                             'takes one of them', suggestion="remove 'by_epoch'"))
            loop = {name: one for name, one in value.items() if name != 'by_epoch'}
            self._value(key, loop, roots.LOOPS, self.scope)
            return
        from mmengine.runner import loops
        if phase != 'train':
            target: Any = loops.ValLoop if phase == 'val' else loops.TestLoop
        elif 'by_epoch' not in value:
            self.problems.append(Problem(key, "has neither 'type' nor 'by_epoch'", suggestion=(
                "add by_epoch=True with max_epochs, or type='IterBasedTrainLoop' with max_iters")))
            return
        else:
            target = loops.EpochBasedTrainLoop if value['by_epoch'] else loops.IterBasedTrainLoop
        known = (known_arguments(target) or frozenset()) | {'by_epoch'}
        self._unknown_names(key, target.__name__, value, known)

    def _evaluator(self, path: str, value: Any) -> None:
        if isinstance(value, Mapping) and 'metrics' in value:
            if 'type' in value:
                self._value(path, value, roots.EVALUATOR, self.scope)
            else:
                self._value(f'{path}.metrics', value['metrics'], roots.METRICS, self.scope, True)
            return
        if isinstance(value, (list, tuple)) and any('metrics' in one for one in value
                                                    if isinstance(one, Mapping)):
            for index, one in enumerate(value):
                self._evaluator(f'{path}.{index}', one)
            return
        self._value(path, value, roots.METRICS, self.scope, required=True)

    def _optim_wrapper(self, path: str, value: Any) -> None:
        if not isinstance(value, Mapping):
            return
        scope = scope_in(value, self.scope)
        self._name(f'{path}.constructor', value.get('constructor'),
                   roots.OPTIM_WRAPPER_CONSTRUCTORS, scope)
        if 'optimizer' not in value:  # several optimizers, each with a wrapper of its own
            for name, one in value.items():
                if isinstance(one, Mapping) and 'optimizer' in one:
                    self._optim_wrapper(f'{path}.{name}', one)
            return
        wrapper = dict(value)
        wrapper.setdefault('type', 'OptimWrapper')
        optimizer = wrapper.pop('optimizer')
        self._value(f'{path}.optimizer', optimizer, roots.OPTIMIZERS, scope, required=True)
        self._value(path, wrapper, roots.OPTIM_WRAPPERS, scope)

    def _schedulers(self, path: str, value: Any) -> None:
        if isinstance(value, Mapping) and 'type' not in value:
            for name, one in value.items():
                self._schedulers(f'{path}.{name}', one)
            return
        self._value(path, value, roots.PARAM_SCHEDULERS, self.scope, required=True)

    # -------------------------------------------------------------------------------- walking

    def _value(self, path: str, value: Any, root: Registry | None, scope: str,
               required: bool = False, owners: Owners = ()) -> None:
        """Check whatever is at ``path``; ``root`` is None where the role is not known."""
        if isinstance(value, (list, tuple)):
            for index, one in enumerate(value):
                self._value(f'{path}.{index}', one, root, scope, required, owners)
        elif isinstance(value, Mapping):
            if 'type' in value:
                self._typed(path, value, root, scope, owners)
            else:
                if required and value:
                    self.problems.append(Problem(path, "has no 'type', so it cannot be built"))
                self._children(path, value, scope_in(value, scope), owners)
        elif required and isinstance(value, (str, int, float)):
            self.problems.append(Problem(path, f"is {value!r}, expected a dict with a 'type'"))

    def _typed(self, path: str, value: Mapping[str, Any], root: Registry | None, scope: str,
               owners: Owners) -> None:
        scope = scope_in(value, scope)
        name = value['type']
        if '_delete_' in value:  # merging takes it out wherever it has an effect
            self.problems.append(Problem(
                path, "'_delete_' has nothing to delete: no base config has this key",
                suggestion='remove it, or correct the key it stands in'))
        targets: list[Any] = []
        if isinstance(name, str):
            targets = self._resolve(path, name, root, scope)
            if not targets:
                self._missing_type(path, name, root, scope, owners)
        elif callable(name):
            targets = [name]
        else:
            self.problems.append(Problem(path, f"'type' is {name!r}, neither a name nor a class"))
        if targets:
            self._arguments(path, value, targets, owners)
        self._children(path, value, scope, (*targets[:1], *owners))

    def _resolve(self, path: str, name: str, root: Registry | None, scope: str) -> list[Any]:
        if root is not None:
            found = self.resolver.find(root, scope, name)
            return [] if found is None else [found]
        if _key(path) in OPS_KEYS:
            import mmcv.ops
            return [getattr(mmcv.ops, name)] if hasattr(mmcv.ops, name) else []
        return self.resolver.find_any(scope, name)

    def _children(self, path: str, value: Mapping[str, Any], scope: str, owners: Owners) -> None:
        classes = getattr(owners[0], '__mro__', ()) if owners else ()
        opaque = {key for cls in classes for key in OPAQUE_OWNERS.get(cls.__name__, ())}
        for key, child in value.items():
            if key not in OPAQUE_KEYS and key not in opaque:
                self._value(f'{path}.{key}', child, ROLE_OF_KEY.get(key), scope, owners=owners)

    def _missing_type(self, path: str, name: str, root: Registry | None, scope: str,
                      owners: Owners) -> None:
        if root is None and any(gives_meaning_to(owner, name) for owner in owners):
            return  # a word with a meaning to the class that takes this dict, not a registered name
        # Nor can a stranger's class be known to build every dict that has a 'type'.
        certain = root is not None or not owners or is_known(owners[0])
        searched = COMMON if root is None else (root, )
        self._report_missing(path, searched, scope, name, 'error' if certain else 'warning')

    def _name(self, path: str, name: Any, root: Registry, scope: str) -> None:
        if isinstance(name, str) and self.resolver.find(root, scope, name) is None:
            self._report_missing(path, (root, ), scope, name)

    def _report_missing(self, path: str, searched: Sequence[Registry], scope: str, name: str,
                        severity: str = 'error') -> None:
        message, suggestion = self.resolver.why_missing(searched, scope, name)
        self.problems.append(Problem(path, message, severity, suggestion))

    # ------------------------------------------------------------------------------ arguments

    def _arguments(self, path: str, value: Mapping[str, Any], targets: Sequence[Any],
                   owners: Owners = ()) -> None:
        known = set(CONSUMED_BY_KEY.get(_key(path), ()))
        for target in targets:
            names = known_arguments(target)
            if names is None:
                return
            known |= names
            for base, consumed in CONSUMED_BY_BUILDER.items():
                if inspect.isclass(target) and any(c.__name__ == base for c in target.__mro__):
                    known |= consumed
        name = getattr(targets[0], '__name__', str(targets[0]))
        self._unknown_names(path, name, value, known, owners)

    def _unknown_names(self, path: str, who: str, value: Mapping[str, Any], known: Iterable[str],
                       owners: Owners = ()) -> None:
        # Some owners take keys out before they build.
        unknown = [name for name in value if name not in known and name not in RESERVED
                   and not any(mentions(owner, name) for owner in owners)]
        if len(unknown) > _INHERITED and 'type' in value:
            names = ', '.join(f"'{name}'" for name in unknown)
            self.problems.append(Problem(path, f'{who} has no arguments {names}', suggestion=(
                'if they are of another type in a _base_ config, add _delete_=True beside type')))
            return
        for name in unknown:
            near = nearest(str(name), known, 1)
            hint = f"did you mean '{near[0]}'?" if near else ''
            self.problems.append(Problem(path, f"{who} has no argument '{name}'", suggestion=hint))


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    return value.items() if isinstance(value, Mapping) else ()


def _key(path: str) -> str:
    """The last part of ``path`` that is not a list index."""
    return next(part for part in reversed(path.split('.')) if not part.isdigit())
