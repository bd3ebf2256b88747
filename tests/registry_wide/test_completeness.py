"""A plug-in is complete with seven items, see docs/adding_a_plugin.md: here they are, per method."""
from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

from mmext import catalogue, zoo
from mmext.cli.config import load_config
from mmext.cli.new import MARK
from mmext.converters import converter_for, methods
from mmext.engine.config_check import check_config, errors
from tests.registry_wide.meta import build_on_meta

ROOT = Path(__file__).parents[2]
METHODS = [entry.method for entry in catalogue.methods()]
# Papers whose tables nobody here could read: their pages list the models without a number.
NUMBERLESS = {'metr'}
UNRELEASED = {entry.method for entry in catalogue.methods() if entry.unreleased}
pytestmark = pytest.mark.parametrize('method', METHODS)


def _full_size(method: str) -> list[Path]:
    folder = ROOT / 'configs' / method
    return [path for path in sorted(folder.glob('*.py')) if not path.stem.endswith('_toy')]


def _models(method: str) -> list[zoo.Model]:
    return zoo.read_metafile(ROOT / 'configs' / method / 'metafile.yml')


def _page(method: str) -> str:
    return (ROOT / 'configs' / method / 'README.md').read_text()


def _examples(method: str) -> list[str]:
    """The config examples of the page."""
    blocks = re.findall(r'```python\n(.*?)```', _page(method), re.DOTALL)
    return [block for block in blocks if '_base_' in block]


def test_catalogue_entry(method: str) -> None:
    entry = next(entry for entry in catalogue.methods() if entry.method == method)
    assert entry.paper and all(entry.paper), f'{method}: its paper, url or year is missing in PAPERS'
    assert entry.kind not in ('layer', 'loss'), f'{method}: its first entry must be what users name'


def test_configs(method: str) -> None:
    folder = f'configs/{method}'
    assert list((ROOT / folder).glob('*_toy.py')), f'{folder} has no *_toy.py'
    assert _full_size(method), f'{folder} has no full-size config: add one with the published recipe'


def test_page(method: str) -> None:
    page = _page(method)
    for what, pattern in {
            'the paper': r'https://(arxiv\.org|openaccess|doi\.org|proceedings|www\.)',
            'the results, published beside reproduced':
                '<!-- results -->' if method in UNRELEASED | NUMBERLESS else
                r'<!-- results -->\n.*published.*\|.*reproduced.*<!-- /results -->',
            'how to convert official weights': '' if method in UNRELEASED else rf'mmext convert {method} ',
            'a citation': r'```bibtex\n@'}.items():
        assert re.search(pattern, page, re.DOTALL), f'configs/{method}/README.md lacks {what}'
    assert _examples(method), f'configs/{method}/README.md has no config to copy'


def test_examples_of_the_page_build(method: str, tmp_path: Path) -> None:
    for number, text in enumerate(_examples(method)):
        path = tmp_path / f'example{number}.py'
        path.write_text(text)
        model = build_on_meta(Config.fromfile(path))
        ours = [module for module in model.modules() if type(module).__module__.startswith('mmext.')]
        assert ours, f'configs/{method}/README.md: nothing of mmext in\n{text}'


def test_examples_of_the_page_are_whole_configs(method: str, tmp_path: Path) -> None:
    for number, text in enumerate(_examples(method)):
        path = tmp_path / f'example{number}.py'
        path.write_text(text)
        # warnings are of classes that the reader's data have
        problems = errors(check_config(load_config(str(path)), files=False))
        assert not problems, f'configs/{method}/README.md: {[*map(str, problems)]} in\n{text}'


def test_metafile_has_every_full_size_config(method: str) -> None:
    listed = {ROOT / model.config for model in _models(method)}
    missing = [path.name for path in _full_size(method) if path not in listed]
    assert not missing, f'configs/{method}/metafile.yml lacks {missing}'
    toys = [path.name for path in listed if path.stem.endswith('_toy')]
    assert not toys, f'configs/{method}/metafile.yml lists toys: {toys}'
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert f'configs/{method}/metafile.yml' in index['Import']


def test_published_numbers(method: str) -> None:
    results = [result for model in _models(method) for result in model.results]
    published = any(result.source != zoo.RERUN for result in results)
    assert published or method in UNRELEASED | NUMBERLESS, f'{method}: no published number'


def test_parameters_and_flops_are_stated(method: str) -> None:
    models = _models(method)
    assert models
    assert not [model.name for model in models if not model.parameters], 'no Parameters'
    assert any(model.flops for model in models), 'no FLOPs anywhere'


def test_converter(method: str) -> None:
    if method in UNRELEASED:
        assert method not in methods(), f'{method}: unreleased, but there is a converter'
        return
    converter = converter_for(method)
    assert converter.method == method
    assert converter.constructors and converter.targets


def test_golden_parity(method: str) -> None:
    folder = ROOT / 'tests' / 'goldens' / method
    if method in UNRELEASED and not folder.exists():
        return  # no authors' numbers to be equal to; test_own_test holds
    assert importlib.util.find_spec(f'tests.parity.test_{method}'), f'no tests/parity/test_{method}.py'
    cases = sorted(folder.glob('*.json'))
    assert cases, f'tests/goldens/{method} has no golden case: see docs/adding_a_plugin.md'
    for case in cases:
        assert case.with_suffix('.safetensors').is_file(), f'{case.name} has no tensors'


def test_own_test(method: str) -> None:
    """Beyond parity: ``tests/models/`` mirrors ``mmext/models/``."""
    entry = next(entry for entry in catalogue.methods() if entry.method == method)
    role = entry.module.split('.')[2]
    assert (ROOT / 'tests' / 'models' / role / f'test_{method}.py').is_file()


def test_nothing_is_left_to_fill_in(method: str) -> None:
    """The skeleton of ``mmext new`` marks what its author replaces."""
    entry = next(entry for entry in catalogue.methods() if entry.method == method)
    folders = [ROOT / 'configs' / method, ROOT / 'tests' / 'goldens' / method,
               ROOT / Path(*entry.module.split('.'))]
    files = [path for folder in folders if folder.is_dir() for path in folder.rglob('*')
             if path.suffix in ('.py', '.md', '.yml')]
    files += [*ROOT.glob(f'mmext/**/{method}.py'), *ROOT.glob(f'tests/**/test_{method}.py')]
    left = sorted(path.relative_to(ROOT).as_posix() for path in files if MARK in path.read_text())
    assert not left, f"'{MARK}' is left in {left}"
    assert MARK not in entry.summary, f"the catalogue's summary of {entry.name} is to be filled in"
