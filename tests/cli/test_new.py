"""``mmext new``: everything or nothing, and what it writes works."""
from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmext import catalogue
from mmext.cli import _checkout, new
from mmext.errors import UserError

ROOT = Path(__file__).parents[2]
TABLE = 'mmext/catalogue.py'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small copy of the repository: what the command reads and writes into."""
    root = tmp_path / 'checkout'
    for name in ('setup.cfg', 'ruff.toml', 'README.md', 'model-index.yml', TABLE, new.GUIDE):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    for name in ('configs/emov2', 'tests/goldens/emov2'):
        shutil.copytree(ROOT / name, root / name)
    for name in ('mmext/models/backbones/__init__.py', 'tests/models/backbones/__init__.py'):
        (root / name).parent.mkdir(parents=True)
        shutil.copy(ROOT / name, root / name)
    return root


def _files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes()
            for path in root.rglob('*') if path.is_file()}


def _new(root: Path, name: str, *options: str, kind: str = 'backbone') -> int:
    return new.main([name, '--kind', kind, '--root', str(root), *options])


# ---------------------------------------------------------------------------------- what it writes


@pytest.mark.parametrize('kind', new.KINDS)
def test_writes_every_place_of_a_plugin(kind: str, checkout: Path,
                                        capsys: pytest.CaptureFixture[str]) -> None:
    before = _files(checkout)
    assert _new(checkout, 'WideNet', '--paper', "A net: it's wide", '--url',
                'https://arxiv.org/abs/2401.00001', '--year', '2024', kind=kind) == 0
    after = _files(checkout)
    folder = new.KINDS[kind].folder
    written = {name for name in after if after[name] != before.get(name)}
    assert written >= {
        f'mmext/models/{folder}/widenet.py', 'mmext/converters/widenet.py',
        f'configs/widenet/{new.KINDS[kind].toy.format("widenet")}', 'configs/widenet/README.md',
        'configs/widenet/metafile.yml', f'tests/models/{folder}/test_widenet.py',
        'tests/parity/test_widenet.py', 'tests/goldens/widenet/README.md', TABLE,
        'model-index.yml', 'README.md', 'docs/model_zoo.md'}
    assert not before.keys() - after.keys()
    printed = capsys.readouterr().out
    for name in written:
        assert f'  {name}\n' in printed
        if name.endswith('.py'):
            ast.parse(after[name])
        assert b'$' not in after[name] or name == 'README.md', f'{name}: unfilled'
    assert 'configs/widenet/metafile.yml' in after['model-index.yml'].decode()
    assert '`mmext.WideNet`' in after['README.md'].decode()
    entry = new.read_tables(after[TABLE].decode(), checkout / TABLE)[0][-1]
    assert (entry.name, entry.kind, entry.method) == ('WideNet', kind, 'widenet')
    assert entry.paper == ("A net: it's wide", 'https://arxiv.org/abs/2401.00001', 2024)


@pytest.mark.parametrize('kind', new.KINDS)
def test_skeletons_are_clean(kind: str, checkout: Path) -> None:
    pytest.importorskip('ruff')
    _new(checkout, 'WideNet', kind=kind)
    done = subprocess.run(
        [sys.executable, '-m', 'ruff', 'check', '--no-cache', '--config',
         "lint.isort.known-first-party = ['mmext', 'tests']", str(checkout)],
        text=True, capture_output=True)
    assert done.returncode == 0, done.stdout


def test_prints_the_sections_of_the_guide(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _new(checkout, 'WideNet')
    printed = capsys.readouterr().out
    titles = re.findall(r'^## (.*)$', (ROOT / new.GUIDE).read_text(), re.MULTILINE)
    assert len(titles) > 5
    assert [line.strip() for line in printed.splitlines()[-len(titles):]] == titles


def test_dry_run_writes_nothing(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = _files(checkout)
    assert _new(checkout, 'WideNet', '--dry-run') == 0
    assert _files(checkout) == before
    printed = capsys.readouterr().out
    assert 'Would write' in printed and '  mmext/models/backbones/widenet.py\n' in printed


def test_the_checkout_of_the_current_folder_is_used(
        checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout / 'configs' / 'emov2')
    assert new.main(['WideNet', '--kind', 'neck']) == 0
    assert (checkout / 'mmext/models/necks/widenet.py').is_file()


# ------------------------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(('name', 'message'), [
    ('EMOv2', 'there is a backbone EMOv2 already (mmext.models.backbones.emov2)'),
    ('EMO2', 'there is a backbone EMO2 already'),
    ('Emo_V2', 'there is a backbone EMOv2 already'),
    ('wide-net', "perhaps 'WideNet'"),
    ('wideNet', "perhaps 'WideNet'"),
    ('class', "'class' cannot be the name of a class; perhaps 'Class'"),
    ('2Wide', "'2Wide' cannot be the name of a class"),
    ('Wéit', 'cannot be the name'),
])
def test_refuses_a_name(name: str, message: str, checkout: Path,
                        capsys: pytest.CaptureFixture[str]) -> None:
    before = _files(checkout)
    assert _new(checkout, name) == 2
    assert message in capsys.readouterr().err
    assert _files(checkout) == before


@pytest.mark.parametrize(('options', 'message'), [
    (('--url', 'arxiv 2401'), "--url 'arxiv 2401'"),
    (('--year', '24'), '--year 24: expected four digits'),
    (('--paper', 'a "b"'), 'leave out double quotes'),
])
def test_refuses_an_option(options: tuple[str, str], message: str, checkout: Path,
                           capsys: pytest.CaptureFixture[str]) -> None:
    before = _files(checkout)
    assert _new(checkout, 'WideNet', *options) == 2
    assert message in capsys.readouterr().err
    assert _files(checkout) == before


def test_refuses_to_overwrite(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / 'mmext/converters').mkdir()
    (checkout / 'mmext/converters/widenet.py').write_text('mine')
    (checkout / 'mmext/models/backbones/widenet').mkdir()
    before = _files(checkout)
    assert _new(checkout, 'WideNet') == 2
    error = capsys.readouterr().err
    assert 'mmext/converters/widenet.py' in error and 'mmext/models/backbones/widenet\n' in error
    assert _files(checkout) == before


def test_twice_is_refused(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _new(checkout, 'WideNet') == 0
    before = _files(checkout)
    assert _new(checkout, 'WideNet') == 2
    assert 'there is a backbone WideNet already' in capsys.readouterr().err
    assert _files(checkout) == before


def test_all_or_nothing(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that cannot be made, late in the list, undoes what came before."""
    (checkout / 'tests/parity').write_text('in the way')
    before, folders = _files(checkout), sorted(checkout.rglob('*'))
    assert _new(checkout, 'WideNet') == 2
    assert 'nothing was written' in capsys.readouterr().err
    assert _files(checkout) == before and sorted(checkout.rglob('*')) == folders


def test_a_failed_write_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, first, last = (tmp_path / name for name in ('old', 'new/first', 'new/last'))
    old.write_text('before')
    replace = os.replace

    def fail(source: str, target: Path) -> None:
        if target == last:
            raise OSError('disk full')
        replace(source, target)

    monkeypatch.setattr(_checkout.os, 'replace', fail)
    with pytest.raises(UserError, match='nothing was written: disk full'):
        _checkout.write_all({old: 'after', first: '1', last: '2'})
    assert old.read_text() == 'before'
    assert [path.name for path in tmp_path.rglob('*')] == ['old']


def test_needs_a_checkout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _new(tmp_path, 'WideNet') == 2
    assert f'{tmp_path} is not a checkout of mmext: no mmext/catalogue.py' in capsys.readouterr().err


def test_an_installed_copy_is_not_a_checkout(tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_checkout, '__file__', str(tmp_path / 'site-packages/mmext/cli/x.py'))
    with pytest.raises(UserError, match='an installed copy'):
        _checkout.find_checkout()


# ------------------------------------------------------------------------------------ catalogue


_TEXT = st.text(st.characters(codec='utf-8', exclude_categories=['Cc', 'Cs']), max_size=30)


@settings(max_examples=30, deadline=None)
@given(summary=_TEXT, paper=_TEXT, hosts=st.lists(st.sampled_from(catalogue.ALL_HOSTS), unique=True))
def test_any_entry_is_inserted_as_it_is(summary: str, paper: str, hosts: list[str]) -> None:
    entry = catalogue.Entry('X', 'model', 'neck', 'mmext.x', tuple(hosts), summary, method='x')
    cited = catalogue.Paper(paper, 'https://x.org', 2024)
    text = (ROOT / TABLE).read_text()
    rows, papers = new.read_tables(new.insert_rows(text, entry, cited, Path(TABLE)), Path(TABLE))
    assert papers['x'] == cited
    assert [asdict(row) for row in rows] == [asdict(row) for row in (*catalogue.CATALOGUE, entry)]


@pytest.mark.parametrize('text', ['', 'CATALOGUE = ()\n', 'CATALOGUE: tuple = (\n1, )\n'])
def test_a_catalogue_of_another_form_is_refused(text: str) -> None:
    entry = catalogue.Entry('X', 'model', 'neck', 'mmext.x', (), '')
    with pytest.raises(UserError, match=r"catalogue\.py: no 'CATALOGUE"):
        new.insert_rows(text, entry, None, Path(TABLE))


# ----------------------------------------------------------------------------- what it writes works


def _run_tests(root: Path, *arguments: str) -> str:
    environment = {**os.environ, 'PYTHONPATH': str(root), 'OMP_NUM_THREADS': '1',
                   'PYTHONWARNINGS': 'ignore'}
    environment.pop('MMEXT_GOLDENS', None)
    return subprocess.run(
        [sys.executable, '-m', 'pytest', '--continue-on-collection-errors', *arguments], cwd=root,
        env=environment, text=True, capture_output=True).stdout


@pytest.mark.parametrize('kinds', [
    pytest.param(('backbone', 'neck'), id='plain'),
    pytest.param(('detector', 'dense_head', 'segmentor', 'decode_head'), id='over-hosts',
                 marks=pytest.mark.slow)])
def test_skeletons_work_and_say_what_is_missing(kinds: tuple[str, ...], tmp_path: Path) -> None:
    """In a copy of the repository: modules pass their tests, what has to be filled in fails."""
    ignore = shutil.ignore_patterns('__pycache__')
    for name in ('mmext', 'configs', 'tests', 'docs'):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=ignore)
    for name in ('setup.cfg', 'README.md', 'model-index.yml'):
        shutil.copy(ROOT / name, tmp_path / name)
    names = {kind: f'Wide{kind.title().replace("_", "")}' for kind in kinds}
    for kind, name in names.items():
        assert _new(tmp_path, name, kind=kind) == 0
    methods = [name.lower() for name in names.values()]

    modules = [f'tests/models/{new.KINDS[kind].folder}/test_{name.lower()}.py'
               for kind, name in names.items()]
    printed = _run_tests(tmp_path, *modules, *(f'tests/parity/test_{m}.py' for m in methods))
    failed = set(re.findall(r'^(?:FAILED|ERROR) (\S+)', printed, re.MULTILINE))
    expected = {f'tests/parity/test_{method}.py' for method in methods}
    if 'backbone' in kinds:
        expected.add(f'{modules[0]}::test_published_parameter_counts[tiny]')
    assert failed == expected, printed
    for method in methods:
        assert f'no golden case of {method}' in printed

    printed = _run_tests(tmp_path, 'tests/registry_wide/test_completeness.py', '-k',
                         f'({" or ".join(methods)}) and (configs or golden or left)')
    failed = set(re.findall(r'^FAILED \S+::(\S+)', printed, re.MULTILINE))
    assert failed == {f'test_{what}[{method}]' for method in methods for what in (
        'configs', 'golden_parity', 'nothing_is_left_to_fill_in')}, printed
    assert 'has no full-size config: add one with the published recipe' in printed
