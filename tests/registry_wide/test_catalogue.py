"""The catalogue is what the source registers, and every name resolves from everywhere."""
from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from mmengine.registry import DefaultScope, Registry

import mmext
from mmext import registry
from mmext.catalogue import ALL_HOSTS, CATALOGUE, PAPERS, Entry
from mmext.registry import UnknownNameError

PACKAGE = Path(mmext.__file__).parent
EACH_ENTRY = pytest.mark.parametrize('entry', [pytest.param(e, id=e.name) for e in CATALOGUE])


class Registered(NamedTuple):
    """A ``@REGISTRY.register_module(...)`` in the source."""

    registry: str
    names: tuple[str, ...]
    module: str


def _names(call: ast.Call, class_name: str) -> tuple[str, ...]:
    """The names that the decorator registers, the class's own if it gives none."""
    given = [keyword.value for keyword in call.keywords if keyword.arg == 'name'] or call.args[:1]
    value = ast.literal_eval(given[0]) if given else None
    return (class_name, ) if value is None else tuple([value] if isinstance(value, str) else value)


def registrations() -> Iterator[Registered]:
    """Everything that mmext's source registers, in the root registries' names."""
    roots = {name: value.name for name, value in vars(registry).items()
             if isinstance(value, Registry)}
    for path in sorted(PACKAGE.rglob('*.py')):
        parts = path.relative_to(PACKAGE).with_suffix('').parts
        if parts[0] == '.mim':
            continue
        module = '.'.join(('mmext', *parts)).removesuffix('.__init__')
        tree = ast.parse(path.read_text())
        foreign = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
                   and not node.level and not (node.module or '').startswith('mmext')
                   for alias in node.names}
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)
                 and isinstance(node.func, ast.Attribute) and node.func.attr == 'register_module'
                 and isinstance(node.func.value, ast.Name) and node.func.value.id in roots]
        for node in ast.walk(tree):
            for decorator in getattr(node, 'decorator_list', ()):
                if decorator in calls:
                    calls.remove(decorator)
                    used = decorator.func.value.id
                    assert used not in foreign, f"{path}: {used} is a host's, take mmext.registry's"
                    yield Registered(roots[decorator.func.value.id], _names(decorator, node.name),
                                     module)
        assert not calls, f'{path}:{calls[0].lineno}: register with a decorator, so that it is found'


def test_catalogue_is_what_the_source_registers() -> None:
    found = list(registrations())
    assert found
    source = {(one.registry, name): one for one in found for name in one.names}
    table = {(entry.registry, name): entry for entry in CATALOGUE for name in entry.names}
    unlisted, unknown = sorted(source.keys() - table), sorted(table.keys() - source)
    assert not unlisted, f'registered, but not in mmext/catalogue.py: {unlisted}'
    assert not unknown, f'in mmext/catalogue.py, but not registered: {unknown}'
    for key, entry in table.items():
        one = source[key]
        assert one.names == entry.names, f'{key}: name and aliases differ'
        assert one.module == entry.module or one.module.startswith(f'{entry.module}.'), key


def test_every_paper_is_cited() -> None:
    assert set(PAPERS) == {entry.cites or entry.method for entry in CATALOGUE} - {''}


def test_names_are_unique() -> None:
    keys = [(entry.registry, name) for entry in CATALOGUE for name in entry.names]
    assert len(keys) == len(set(keys))


@EACH_ENTRY
def test_entry_is_filled_in(entry: Entry) -> None:
    assert entry.summary and len(entry.summary) <= 100
    assert set(entry.hosts) <= set(ALL_HOSTS) and entry.hosts
    assert set(entry.requires) <= set(ALL_HOSTS)
    if entry.method:
        assert entry.paper is not None, f'no paper in PAPERS: {entry.cites or entry.method}'
        assert entry.paper.title and entry.paper.url.startswith('https://')
        assert 1950 < entry.paper.year < 2100
        assert (PACKAGE.parent / entry.page).is_file()


@EACH_ENTRY
def test_resolves_from_the_root_and_from_every_host(entry: Entry) -> None:
    ours = next(one for one in registry.REGISTRIES if one.name == entry.registry)
    for name in entry.names:
        found = ours.get(name)
        assert found is ours.parent.get(f'mmext.{name}') is ours.get(entry.name)
        for host in entry.hosts:
            importlib.import_module(f'{host}.registry')
            child = ours.parent.children.get(host)
            if child is not None:  # not every host has every registry
                assert child.get(f'mmext.{name}') is found
            with DefaultScope.overwrite_default_scope(host):
                assert ours.parent.get(f'mmext.{name}') is found


@EACH_ENTRY
def test_importing_again_is_harmless(entry: Entry) -> None:
    ours = next(one for one in registry.REGISTRIES if one.name == entry.registry)
    before = ours.get(entry.name)
    importlib.import_module(entry.module)
    assert ours.get(entry.name) is before


@EACH_ENTRY
def test_a_mistyped_name_is_answered_with_the_nearest(entry: Entry) -> None:
    ours = next(one for one in registry.REGISTRIES if one.name == entry.registry)
    for wrong in (entry.name[:-1] + 'Q', entry.name.upper() + 'X'):
        with pytest.raises(UnknownNameError, match=rf'did you mean .*\b{entry.name}\b'):
            ours.parent.get(f'mmext.{wrong}')


def _run(code: str) -> str:
    """What a fresh interpreter prints; its failure is ours."""
    done = subprocess.run([sys.executable, '-c', code], text=True, capture_output=True,
                          cwd=PACKAGE.parent, env={**os.environ, 'PYTHONWARNINGS': 'ignore'})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_modules_can_be_imported_in_any_order() -> None:
    """Last first, directly; then every name through its registry."""
    assert 'all resolved' in _run('''
import importlib, mmext
from mmext.catalogue import CATALOGUE
for entry in reversed(CATALOGUE):
    importlib.import_module(entry.module)
from mmext.registry import REGISTRIES
for entry in CATALOGUE:
    ours = next(one for one in REGISTRIES if one.name == entry.registry)
    assert len({ours.parent.get(f'mmext.{name}') for name in entry.names}) == 1
print('all resolved')
''')


_WITHOUT_A_HOST = '''
import importlib, importlib.util, os, sys
import mmext
from mmext.catalogue import ALL_HOSTS, CATALOGUE
from mmext.registry import REGISTRIES
real = importlib.util.find_spec

class Block:
    def __init__(self, host): self.host = host
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == self.host:
            raise ModuleNotFoundError(f'blocked {name}')

for host in ALL_HOSTS:
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0, host
        continue
    assert host not in sys.modules
    sys.meta_path.insert(0, Block(host))
    importlib.util.find_spec = lambda name, *rest: None if name == host else real(name, *rest)
    for entry in CATALOGUE:
        ours = next(one for one in REGISTRIES if one.name == entry.registry)
        try:
            found = ours.parent.get(f'mmext.{entry.name}')
        except ImportError as error:
            assert host in entry.requires, f'{entry.name} needs {host}, its entry does not say so'
            assert 'pip install' in str(error) and f'onedl-{host[:5]}' in str(error), error
        else:
            assert host not in entry.requires and found.__name__
    sys.stdout.flush()
    os._exit(0)
print('each host can be missing')
'''


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
def test_a_missing_host_breaks_only_its_own_plugins() -> None:
    """With any one host blocked, everything else resolves, and what needs it says what to install."""
    assert 'each host can be missing' in _run(_WITHOUT_A_HOST)


def test_list_needs_no_torch() -> None:
    printed = _run('''
import sys
from mmext.cli import main
assert main(['list']) == 0
heavy = {'torch', 'numpy', 'mmengine', 'mmcv', 'mmdet', 'cv2'} & set(sys.modules)
print('imported:', sorted(heavy))
''')
    assert 'mmext.EMOv2' in printed
    assert 'imported: []' in printed
