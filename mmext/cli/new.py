"""Write the skeleton of a new plug-in: every file that it consists of, and its catalogue rows."""
from __future__ import annotations

import argparse
import ast
import keyword
import re
import string
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

from .. import catalogue, zoo
from ..errors import UserError, nearest
from ._checkout import find_checkout, write_all
from ._common import run_command

TEMPLATES = Path(__file__).parent / 'templates'
GUIDE = 'docs/adding_a_plugin.md'
#: What the author replaces says so with these words; tests/registry_wide finds those left over.
MARK = 'FILL IN'


class Kind(NamedTuple):
    """What a skeleton of one kind is made of.

    Attributes:
        folder: Folder under ``mmext/models``; about: its one line, for a folder that is new.
        hosts: Whose configs can use it; requires: which must be installed for it to import.
        toy: Name of the toy config, with ``{}`` for the method.
        test: Template of the module's test.
        arguments: Arguments for the converter's skeleton.
    """

    folder: str
    about: str
    hosts: tuple[str, ...]
    requires: tuple[str, ...]
    toy: str
    test: str
    arguments: str


KINDS = {
    'backbone': Kind('backbones', 'Backbones', catalogue.ALL_HOSTS, (), 'atss_{}_fpn_toy.py',
                     'test_backbone.py', "arch='tiny'"),
    'neck': Kind('necks', 'Necks: maps of a backbone in, maps for a head out', catalogue.ALL_HOSTS,
                 (), 'atss_emov2-1m_{}_toy.py', 'test_neck.py',
                 'in_channels=[32, 48, 80, 180], out_channels=64, num_outs=5'),
    'detector': Kind('detectors', 'Detectors', ('mmdet', 'mmrotate'), ('mmdet', ),
                     '{}_emov2_fpn_toy.py', 'test_detection.py',
                     'backbone=None, neck=None, bbox_head=None'),
    'dense_head': Kind('dense_heads', 'Heads of detectors', ('mmdet', 'mmrotate'), ('mmdet', ),
                       '{}_emov2_fpn_toy.py', 'test_detection.py',
                       'num_classes=80, in_channels=256'),
    'segmentor': Kind('segmentors', 'Segmentors', ('mmseg', ), ('mmseg', ),
                      '{}_emov2_toy.py', 'test_segmentation.py',
                      'backbone=None, decode_head=None'),
    'decode_head': Kind('decode_heads', 'Heads of segmentors', ('mmseg', ), ('mmseg', ),
                        '{}_emov2_toy.py', 'test_segmentation.py',
                        'in_channels=[64, 64, 64, 64], in_index=[0, 1, 2, 3], channels=64, '
                        'num_classes=150'),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mmext new``."""
    parser.add_argument('name', help='class name; configs will say type=\'mmext.NAME\'')
    parser.add_argument('--kind', choices=list(KINDS), required=True, help='role in a config')
    parser.add_argument('--paper', default='', help="the paper's title")
    parser.add_argument('--url', default='', help='where to read it')
    parser.add_argument('--year', type=int, default=0, help='of publication')
    parser.add_argument('--dry-run', action='store_true', help='only list what would be written')
    parser.add_argument('--root', type=Path, help='the checkout (default: that of the current folder, else '
                        'that of mmext itself)')


# --------------------------------------------------------------------------------------- checks


def _check_name(name: str) -> None:
    if not name.isidentifier() or keyword.iskeyword(name) or not name.isascii():
        parts = [part for part in re.split(r'\W+', name, flags=re.ASCII) if part]
        better = ''.join(part[0].upper() + part[1:] for part in parts)
        hint = f"; perhaps '{better}'" if better.isidentifier() and better != name else ''
        raise UserError(f"'{name}' cannot be the name of a class{hint}")
    if not name[0].isupper():
        raise UserError(f"'{name}': a class name starts with a capital letter; perhaps "
                        f"'{name[0].upper()}{name[1:]}'")


def _plain(name: str) -> str:
    return name.replace('_', '').lower()


def _check_paper(paper: str, url: str, year: int) -> None:
    if re.search(r'["\\\n]', paper):
        raise UserError(f"--paper '{paper}': leave out double quotes, backslashes and line breaks")
    if url and not re.match(r'https?://[^\s/]+\.[^\s]+$', url):
        raise UserError(f"--url '{url}': expected an address such as https://arxiv.org/abs/2412.06674")
    if year and not 1950 <= year <= 2100:
        raise UserError(f'--year {year}: expected four digits, for example 2024')


# ------------------------------------------------------------------------------------ catalogue


def read_tables(text: str, path: Path) -> tuple[tuple[Any, ...], dict[str, catalogue.Paper]]:
    """The entries and the papers that a ``catalogue.py`` with this text has.

    Raises:
        UserError: If it cannot be executed.
    """
    namespace: dict[str, Any] = {'__name__': catalogue.__name__}
    try:
        exec(compile(text, str(path), 'exec'), namespace)
    except Exception as error:
        raise UserError(f'{path}: {type(error).__name__}: {error}') from None
    return namespace['CATALOGUE'], namespace['PAPERS']


def entry_text(entry: catalogue.Entry) -> str:
    """An entry as it stands in ``catalogue.py``; fields that have their default are left out."""
    items = []
    for field in fields(entry):
        value = getattr(entry, field.name)
        if value == field.default:
            continue
        everywhere = field.name == 'hosts' and value == catalogue.ALL_HOSTS
        text = 'ALL_HOSTS' if everywhere else repr(value)
        items.append(text if field.default is MISSING else f'{field.name}={text}')
    return f'    Entry({_wrap(items, 10)}),\n'


def paper_text(key: str, paper: catalogue.Paper) -> str:
    """A paper as it stands in ``catalogue.py``."""
    row = f'    {key!r}: Paper({", ".join(map(repr, paper))}),\n'
    return row if len(row) <= 110 else f'    {key!r}: Paper(\n        {_wrap(map(repr, paper), 8)}),\n'


def _wrap(items: Iterable[str], indent: int, width: int = 105) -> str:
    """The items, separated by commas, in lines; none is broken."""
    lines: list[str] = []
    for item in items:
        if lines and indent + len(lines[-1]) + len(item) + 2 <= width:
            lines[-1] += f', {item}'
        else:
            lines.append(item)
    return (',\n' + ' ' * indent).join(lines)


def _append(text: str, table: str, row: str, path: Path) -> str:
    """The source with one more row at the end of a table that closes on a line of its own."""
    found = [node for node in ast.parse(text).body if isinstance(node, ast.AnnAssign)
             and isinstance(node.target, ast.Name) and node.target.id == table]
    lines = text.splitlines(keepends=True)
    end = found[0].end_lineno if found else None
    if end is None or lines[end - 1].strip() not in (')', '}'):
        raise UserError(f"{path}: no '{table}: ... =' whose bracket closes on a line of its own")
    return ''.join([*lines[:end - 1], row, *lines[end - 1:]])


def insert_rows(text: str, entry: catalogue.Entry, paper: catalogue.Paper | None, path: Path) -> str:
    """The text of ``catalogue.py`` with the entry and its paper at the end of their tables.

    Raises:
        UserError: If a table cannot be found, or if the result is not the old tables and the rows.
    """
    result = _append(text, 'CATALOGUE', entry_text(entry), path)
    added = {entry.method: paper} if paper else {}
    for key, value in added.items():
        result = _append(result, 'PAPERS', paper_text(key, value), path)
    entries, papers = read_tables(text, path)
    new_entries, new_papers = read_tables(result, path)
    if ([asdict(row) for row in new_entries] != [*(asdict(row) for row in entries), asdict(entry)]
            or new_papers != {**papers, **added}):
        raise UserError(f'{path}: the new entry cannot be added here; add it by hand:\n'
                        f'{entry_text(entry)}')
    return result


# ------------------------------------------------------------------------------------- skeleton


def skeleton(root: Path, entry: catalogue.Entry, paper: catalogue.Paper) -> dict[Path, str]:
    """The files of a new plug-in.

    Args:
        root: The checkout.
        entry: Its row in the catalogue.
        paper: Where it is from; fields that are not known are empty.

    Returns:
        The text of each, the catalogue left out.
    """
    kind, method = KINDS[entry.kind], entry.method
    toy = kind.toy.format(method)
    values = dict(
        Name=entry.name, method=method, kind=entry.kind, toy=toy, hosts=', '.join(entry.hosts),
        arguments=kind.arguments, paper=paper.title or f'{MARK} the title',
        paper_quoted=(paper.title or f'{MARK} the title').replace("'", "''"),
        url=paper.url or f'{MARK} the address', year=str(paper.year or f'{MARK} the year'))

    def fill(template: str) -> str:
        return string.Template((TEMPLATES / f'{template}.tmpl').read_text()).substitute(values)

    folder = f'models/{kind.folder}'
    files = {
        f'mmext/{folder}/{method}.py': fill(f'{entry.kind}.py'),
        f'mmext/converters/{method}.py': fill('converter.py'),
        f'configs/{method}/{toy}': fill(f'toy_{entry.kind}.py'),
        f'configs/{method}/README.md': fill('README.md'),
        f'configs/{method}/metafile.yml': fill('metafile.yml'),
        f'tests/{folder}/test_{method}.py': fill(kind.test),
        f'tests/parity/test_{method}.py': fill('test_parity.py'),
        f'tests/goldens/{method}/README.md': fill('goldens.md'),
    }
    inits = {f'mmext/{folder}/__init__.py': f'"""{kind.about}."""\n', f'tests/{folder}/__init__.py': ''}
    files.update((name, text) for name, text in inits.items() if not (root / name).exists())
    return {root / name: text for name, text in files.items()}


def _taken(root: Path, files: Sequence[Path], method: str) -> list[str]:
    """What is in the way: files to be written, and folders or modules of that name."""
    places = [root / 'configs' / method, root / 'tests' / 'goldens' / method,
              *root.glob(f'mmext/models/*/{method}'), *root.glob(f'mmext/models/*/{method}.py')]
    return sorted({path.relative_to(root).as_posix() for path in (*files, *places) if path.exists()})


def next_steps(root: Path) -> list[str]:
    """Titles of the guide's sections."""
    guide = root / GUIDE
    return re.findall(r'^## (.+)$', guide.read_text(), re.MULTILINE) if guide.is_file() else []


def run(args: argparse.Namespace) -> int:
    """Write the skeleton, or with ``--dry-run`` list it."""
    root = find_checkout(args.root)
    name, kind = args.name, KINDS[args.kind]
    _check_name(name)
    _check_paper(args.paper, args.url, args.year)
    table = root / 'mmext' / 'catalogue.py'
    text = table.read_text()
    rows, _ = read_tables(text, table)
    known = {other: row for row in rows for other in (row.name, *row.aliases)}
    for other, row in known.items():
        if _plain(other) == _plain(name):
            raise UserError(f"'{name}': there is a {row.kind} {other} already ({row.module})")
    method = name.lower()
    entry = catalogue.Entry(
        name=name, registry='model', kind=args.kind, module=f'mmext.models.{kind.folder}.{method}',
        hosts=kind.hosts, requires=kind.requires, summary=f'{MARK} what it is, in a few words',
        method=method)
    paper = catalogue.Paper(args.paper, args.url, args.year)
    files = skeleton(root, entry, paper)
    taken = _taken(root, list(files), method)
    if taken:
        raise UserError('\n  '.join([f"'{name}' is in use, nothing was written. Existing:", *taken]))
    files[table] = insert_rows(text, entry, paper if any(paper) else None, table)

    similar = nearest(name, known)
    if similar:
        print(f'Similar names exist: {", ".join(similar)}')
    print('Would write:' if args.dry_run else 'Wrote:')
    if not args.dry_run:
        write_all(files)
        stale, problems = zoo.outdated(root, read_tables(files[table], table)[0])
        write_all(stale)
        files.update(stale)
    for path in files:
        print(f'  {path.relative_to(root).as_posix()}')
    if not args.dry_run:
        for problem in problems:
            print(problem)
        print(f"\nWhat you replace is marked '{MARK}'; tests fail until none is left. "
              f'Next steps ({GUIDE}):')
        for title in next_steps(root):
            print(f'  {title}')
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """``mmext new``."""
    return run_command(__name__, argv)
