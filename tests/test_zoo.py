"""The generated documents are what the catalogue and the metafiles say, and what they name exists."""
from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from mmext import zoo
from mmext.catalogue import CATALOGUE
from mmext.cli.update_docs import main
from mmext.errors import UserError

ROOT = Path(__file__).parents[1]
PAGES = ['README.md', 'CONTRIBUTING.md', 'docs/adding_a_plugin.md']


def test_generated_documents_are_up_to_date() -> None:
    stale, problems = zoo.outdated(ROOT)
    assert not problems
    names = [path.relative_to(ROOT).as_posix() for path in stale]
    assert not names, f'{names} are out of date: python tools/misc/update_docs.py'


@pytest.mark.parametrize('page', PAGES)
def test_paths_in_the_texts_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    links = re.findall(r'\]\((?!https?://|#)([^)\s]+)\)', text)
    quoted = [token for token in re.findall(r'`([^`\n]+)`', text)
              if re.fullmatch(r'[\w./*-]+', token) and (
                  '/' in token or token.endswith(('.py', '.md', '.yml', '.cfg', '.toml', '.txt')))]
    commands = re.findall(r'(?:python|pytest|mmext \w+) ((?:configs|tests|tools)/[\w./-]+)', text)
    missing = []
    for path in {*links, *quoted, *commands}:
        if 'NAME' in path or path.startswith(('*', 'data/', 'work_dirs/', '.venv', '/')):
            continue
        base = (ROOT / page).parent if path in links else ROOT
        if not (list(base.glob(path.rstrip('/'))) if '*' in path else (base / path).exists()):
            missing.append(path)
    assert not missing, f'{page} names {sorted(missing)}'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the generator reads and writes."""
    for name in ('setup.cfg', 'README.md', 'model-index.yml', 'mmext/catalogue.py'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / 'configs/emov2', tmp_path / 'configs/emov2')
    (tmp_path / 'tests').mkdir()
    return tmp_path


def test_writes_what_check_reports(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = ['--root', str(checkout)]
    assert main([*root, '--check']) == 1
    assert 'out of date: docs/model_zoo.md' in capsys.readouterr().out
    assert not (checkout / 'docs').exists()
    assert main(root) == 0
    assert main([*root, '--check']) == 0
    assert 'up to date' in capsys.readouterr().out


def test_a_page_without_markers_is_named(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The others are written all the same."""
    (checkout / 'README.md').write_text('# mmext\n')
    assert main(['--root', str(checkout)]) == 2
    printed = capsys.readouterr()
    assert 'wrote: docs/model_zoo.md' in printed.out
    assert f'{checkout / "README.md"}: add the two lines <!-- plug-ins -->' in printed.err
    assert (checkout / 'README.md').read_text() == '# mmext\n'


def test_fill_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / 'page.md'
    text = 'a\n<!-- x -->\nold\n<!-- /x -->\nb\n'
    filled = zoo.fill(text, 'x', r'new \1', path)
    assert filled == 'a\n<!-- x -->\nnew \\1\n<!-- /x -->\nb\n'
    assert zoo.fill(filled, 'x', r'new \1', path) == filled
    for wrong in ('', text + text):
        with pytest.raises(UserError, match='add the two lines'):
            zoo.fill(wrong, 'x', 'new', path)


def _model(name: str, *results: zoo.Result, weights: str = '') -> zoo.Model:
    return zoo.Model(name, f'configs/m/{name}.py', 1_460_844, 0, '', results, weights, '')


def test_published_stands_beside_reproduced() -> None:
    published = zoo.Result('Detection', 'COCO', {'box AP': 36.9, 'box AP50': 57.1}, 'paper')
    rerun = zoo.Result('Detection', 'COCO', {'box AP': 36.5}, 're-run')
    lines = zoo.results_tables([_model('a', published, rerun), _model('b', published),
                                _model('c', rerun, weights='https://w'), _model('d')], '../')
    rows = {line.split('](')[0][3:]: line for line in lines.splitlines() if line.startswith('| [')}
    assert '| box AP, published | box AP, reproduced | source | weights |' in lines
    assert '| 36.9 | 36.5 | paper | - |' in rows['a']
    assert '| 36.9 | - | paper | - |' in rows['b']
    assert '| - | 36.5 | - | [ours](https://w) |' in rows['c']
    assert '**Without a published number**' in lines and '[d](../configs/m/d.py) | 1.46 M |' in lines


def test_every_entry_is_in_the_readme_or_on_its_page() -> None:
    readme = (ROOT / 'README.md').read_text()
    for entry in CATALOGUE:
        page = (ROOT / entry.page).read_text() if entry.method else ''
        assert f'`mmext.{entry.name}`' in readme or entry.name in page, entry.name
