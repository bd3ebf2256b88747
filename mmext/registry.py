"""mmext's registries: lazy children, scope ``mmext``, of every root registry of mmengine.

``type='mmext.X'`` in any host's config makes mmengine import this module; asking for ``X`` then
imports the one module that :mod:`mmext.catalogue` names. Nothing else is imported, so a missing
host breaks only the plug-ins that need it.
"""
from __future__ import annotations

import importlib
import importlib.util

import mmengine.registry as roots
from mmengine.registry import Registry

from . import catalogue
from .errors import did_you_mean
from .hosts import HOSTS

SCOPE = 'mmext'


class UnknownNameError(KeyError):
    """A name that no registry has; its text is the message itself."""

    def __str__(self) -> str:
        return str(self.args[0])


class LazyRegistry(Registry):
    """A child registry that imports a plug-in's module when its name is first asked for.

    Args:
        parent: The root registry of mmengine that this one extends.

    Raises:
        UnknownNameError: On :meth:`get` of a name that neither mmext nor mmengine has; the message names
            the nearest ones, the host that has it, or the registry in which mmext keeps it.
        ImportError: On :meth:`get` of a plug-in whose host is not installed; the message has the
            line to run.
    """

    def __init__(self, parent: Registry) -> None:
        super().__init__(parent.name, build_func=parent.build_func, parent=parent, scope=SCOPE)

    def import_from_location(self) -> None:
        """Nothing to import ahead of time: :meth:`get` imports by name."""

    def get(self, key: str) -> type | None:
        """The class registered as ``key``, with or without the ``mmext.`` prefix."""
        scope, name = self.split_scope_key(key)
        if scope not in (None, SCOPE):
            return super().get(key)
        if name not in self._module_dict:
            entry = catalogue.find(name, self.name)
            if entry is not None:
                _import(entry)
        found = super().get(key)
        if found is None and '.' not in name:  # a dotted path may still resolve further up
            raise UnknownNameError(_unknown(name, self.name))
        return found

    def __contains__(self, key: str) -> bool:
        try:
            return self.get(key) is not None
        except UnknownNameError:
            return False


def _import(entry: catalogue.Entry) -> None:
    missing = [host for host in entry.requires if importlib.util.find_spec(host) is None]
    if missing:
        wanted = ' '.join(f'"{HOSTS[host].requirement}"' for host in missing)
        raise ImportError(f'{SCOPE}.{entry.name} needs {", ".join(missing)}, which is not '
                          f'installed: pip install --no-build-isolation {wanted}')
    importlib.import_module(entry.module)


def _unknown(name: str, registry: str) -> str:
    """One sentence for a name that is nowhere: what was searched, what is nearest, what to do."""
    message = f"mmext has no {registry} called '{name}'"
    elsewhere = catalogue.find(name)
    if elsewhere is not None:
        return f'{message}: {SCOPE}.{name} is a {elsewhere.registry} ({elsewhere.kind})'
    ours = [other for entry in catalogue.CATALOGUE if entry.registry == registry for other in entry.names]
    message += did_you_mean(name, ours)
    hosts = [scope for scope, child in _root(registry).children.items() if name in child.module_dict]
    if hosts:
        message += f"; that is {hosts[0]}'s: write type='{hosts[0]}.{name}'"
    return f'{message} (all names: mmext list)'


def _root(name: str) -> Registry:
    return next(registry.parent for registry in REGISTRIES if registry.name == name)


RUNNERS = LazyRegistry(roots.RUNNERS)
RUNNER_CONSTRUCTORS = LazyRegistry(roots.RUNNER_CONSTRUCTORS)
LOOPS = LazyRegistry(roots.LOOPS)
HOOKS = LazyRegistry(roots.HOOKS)
STRATEGIES = LazyRegistry(roots.STRATEGIES)
DATASETS = LazyRegistry(roots.DATASETS)
DATA_SAMPLERS = LazyRegistry(roots.DATA_SAMPLERS)
TRANSFORMS = LazyRegistry(roots.TRANSFORMS)
MODELS = LazyRegistry(roots.MODELS)
MODEL_WRAPPERS = LazyRegistry(roots.MODEL_WRAPPERS)
WEIGHT_INITIALIZERS = LazyRegistry(roots.WEIGHT_INITIALIZERS)
OPTIMIZERS = LazyRegistry(roots.OPTIMIZERS)
OPTIM_WRAPPERS = LazyRegistry(roots.OPTIM_WRAPPERS)
OPTIM_WRAPPER_CONSTRUCTORS = LazyRegistry(roots.OPTIM_WRAPPER_CONSTRUCTORS)
PARAM_SCHEDULERS = LazyRegistry(roots.PARAM_SCHEDULERS)
METRICS = LazyRegistry(roots.METRICS)
EVALUATORS = LazyRegistry(roots.EVALUATOR)
TASK_UTILS = LazyRegistry(roots.TASK_UTILS)
VISUALIZERS = LazyRegistry(roots.VISUALIZERS)
VISBACKENDS = LazyRegistry(roots.VISBACKENDS)
LOG_PROCESSORS = LazyRegistry(roots.LOG_PROCESSORS)
INFERENCERS = LazyRegistry(roots.INFERENCERS)
FUNCTIONS = LazyRegistry(roots.FUNCTIONS)

REGISTRIES = tuple(value for value in globals().values() if isinstance(value, LazyRegistry))
