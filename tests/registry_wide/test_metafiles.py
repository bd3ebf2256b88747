"""What the metafiles say is true: files exist, numbers are numbers, parameters are counted."""
from __future__ import annotations

from pathlib import Path

import mmengine
import pytest
import yaml
from mmengine.config import Config

import mmext  # noqa: F401  arms the repairs of the hosts
from mmext import zoo
from mmext.errors import UserError
from tests.registry_wide.meta import build_on_meta, count

ROOT = Path(__file__).parents[2]
METAFILES = zoo.metafiles(ROOT)
MODELS = [model for path in METAFILES for model in zoo.read_metafile(path)]
EACH_METAFILE = pytest.mark.parametrize('path', [pytest.param(p, id=p.parent.name) for p in METAFILES])


def _cases(classifiers: bool) -> list:
    """One model for each stated size of a config."""
    chosen = {}
    for model in MODELS:
        if any(r.task == 'Image Classification' for r in model.results) == classifiers:
            chosen.setdefault((model.config, model.parameters), model)
    return [pytest.param(model, id=model.name) for model in chosen.values()]


def test_names_are_unique() -> None:
    names = [model.name for model in MODELS]
    assert names and len(names) == len(set(names))


@EACH_METAFILE
def test_form(path: Path) -> None:
    raw = yaml.safe_load(path.read_text())
    collections = {collection['Name'] for collection in raw['Collections']}
    for collection in raw['Collections']:
        assert (ROOT / collection['README']).is_file()
        assert collection['Paper']['URL'].startswith('https://')
    for model, item in zip(zoo.read_metafile(path), raw['Models']):
        assert item['In Collection'] in collections, model.name
        assert (ROOT / model.config).is_file(), f'{model.name}: no {model.config}'
        assert Path(model.config).parent == path.parent.relative_to(ROOT), model.name
        for url in (model.weights, model.official_weights):
            assert not url or url.startswith('https://'), model.name
        for result in model.results:
            assert all(0 < value <= 100 for value in result.metrics.values()), model.name


@EACH_METAFILE
def test_mmengine_finds_the_configs(path: Path) -> None:
    """``mmengine.hub.get_config('mmext::...')``, as for the hosts' own."""
    from mmengine.hub import get_config
    model = zoo.read_metafile(path)[0]
    name = model.config.removeprefix('configs/')
    assert get_config(f'mmext::{name}').model == Config.fromfile(ROOT / model.config).model


def _check_count(model: zoo.Model) -> None:
    assert model.parameters, f'{model.name}: no Parameters'
    cfg = Config.fromfile(ROOT / model.config)
    if not Path(cfg.get('words', __file__)).is_file():
        pytest.skip(f"{cfg.words} is made by tools/dataset_converters/word_table.py from BERT's weights")
    assert count(build_on_meta(cfg)) == model.parameters


@pytest.mark.parametrize('model', _cases(classifiers=True))
def test_parameters_of_classifiers(model: zoo.Model) -> None:
    _check_count(model)


@pytest.mark.slow
@pytest.mark.parametrize('model', _cases(classifiers=False))
def test_parameters_of_the_others(model: zoo.Model) -> None:
    _check_count(model)


@pytest.mark.parametrize(('text', 'message'), [
    ('Models: 3', "expected 'Collections' and a list of 'Models'"),
    ('Models: [{Config: c}]', "model 1: 'Name' is missing"),
    ('Models: [{Name: n}]', "n: 'Config' is missing"),
    ('Models: [{Name: n, Config: c, Metadata: {Parameters: 5.1M}}]', "'Parameters' must be a whole"),
    ('Models: [{Name: n, Config: c, Results: [{Task: t, Dataset: d, Source: papper,'
     ' Metrics: {mIoU: 1}}]}]', "unknown 'Source: papper'; did you mean paper"),
    ('Models: [{Name: n, Config: c, Results: [{Task: t, Dataset: d, Source: paper,'
     " Metrics: {mIoU: '41,2'}}]}]", "metric 'mIoU' must be a number, not '41,2'"),
    ('Models: [', 'while parsing'),
])
def test_a_wrong_metafile_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / 'metafile.yml'
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        zoo.read_metafile(path)
    assert str(path) in str(caught.value) and message in str(caught.value)


def test_the_index_lists_every_metafile() -> None:
    index = mmengine.load(ROOT / 'model-index.yml')
    assert index['Import'] == [path.relative_to(ROOT).as_posix() for path in METAFILES]
