"""The model zoo: what the metafiles say, and the documents that are made from them.

``configs/NAME/metafile.yml`` holds, in the format of the hosts, one model for each config with its
size, its results and its weights. Made from these files and the catalogue: ``model-index.yml``,
``docs/model_zoo.md``, the table of plug-ins in ``README.md`` and the results in each
``configs/NAME/README.md``. ``tools/misc/update_docs.py`` writes them; a test fails when they are old.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .catalogue import ALL_HOSTS, CATALOGUE, Entry
from .errors import UserError, did_you_mean

#: Where a number comes from: the authors (their re-run is of the released code, after the paper), or
#: a training with the config here.
SOURCES = ('paper', "authors' README", "authors' log", "authors' re-run", 're-run')
RERUN = 're-run'


@dataclass(frozen=True)
class Result:
    """Metrics of a model on a dataset.

    Attributes:
        task: As the hosts call it: 'Image Classification', 'Object Detection', ...
        dataset: 'ImageNet-1k', 'COCO', 'ADE20K', 'DOTAv1.0', ...
        metrics: The main one first, in percent.
        source: One of :data:`SOURCES`.
    """

    task: str
    dataset: str
    metrics: Mapping[str, float]
    source: str


@dataclass(frozen=True)
class Model:
    """One model of a metafile.

    Attributes:
        name: Unique in the repository.
        config: Path of its config from the root of the repository.
        parameters: Of the built model; 0 if not stated.
        flops: Multiply-adds of one image; 0 if not stated.
        input_size: The image that ``flops`` is for, as text; may be empty.
        results: Published and reproduced ones.
        weights: Address of a checkpoint for ``config``, or empty.
        official_weights: Address of the authors' file for ``mmext convert``, or empty.
    """

    name: str
    config: str
    parameters: int
    flops: int
    input_size: str
    results: tuple[Result, ...]
    weights: str
    official_weights: str


# ---------------------------------------------------------------------------------------- reading


def _section(parent: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = parent.get(key) or {}
    if not isinstance(value, dict):
        raise UserError(f"{where}: '{key}' must be a mapping, not {type(value).__name__}")
    return value


def _required(parent: Mapping[str, Any], key: str, where: str) -> str:
    if not isinstance(parent.get(key), str):
        raise UserError(f"{where}: '{key}' is missing")
    return parent[key]


def _count(parent: Mapping[str, Any], key: str, where: str) -> int:
    value = parent.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UserError(f"{where}: '{key}' must be a whole number, not {value!r}")
    return value


def _result(raw: Mapping[str, Any], where: str) -> Result:
    metrics = _section(raw, 'Metrics', where)
    for name, value in metrics.items():
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise UserError(f"{where}: metric '{name}' must be a number, not {value!r}")
    if not metrics:
        raise UserError(f"{where}: a result needs 'Metrics'")
    source = _required(raw, 'Source', where)
    if source not in SOURCES:
        raise UserError(f"{where}: unknown 'Source: {source}'{did_you_mean(source, SOURCES)} "
                        f'Expected one of: {", ".join(SOURCES)}')
    return Result(_required(raw, 'Task', where), _required(raw, 'Dataset', where), metrics, source)


def read_metafile(path: Path) -> list[Model]:
    """The models of one metafile.

    Raises:
        UserError: If it is not as ``docs/adding_a_plugin.md`` describes; the message names the
            file, the model and the key.
    """
    try:
        raw = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f'{path}: {error}') from None
    if not isinstance(raw, dict) or not isinstance(raw.get('Models'), list):
        raise UserError(f"{path}: expected 'Collections' and a list of 'Models'")
    models = []
    for number, item in enumerate(raw['Models'], 1):
        where = f'{path}, model {number}'
        if not isinstance(item, dict):
            raise UserError(f'{where}: must be a mapping, not {type(item).__name__}')
        name = _required(item, 'Name', where)
        where = f'{path}, {name}'
        metadata = _section(item, 'Metadata', where)
        results = item.get('Results') or []
        if not isinstance(results, list):
            raise UserError(f"{where}: 'Results' must be a list")
        models.append(
            Model(name=name,
                  config=_required(item, 'Config', where),
                  parameters=_count(metadata, 'Parameters', where),
                  flops=_count(metadata, 'FLOPs', where),
                  input_size=str(metadata.get('Input Size', '')),
                  results=tuple(_result(result, where) for result in results),
                  weights=item.get('Weights', ''),
                  official_weights=_section(item, 'Converted From', where).get('Weights', '')))
    return models


def metafiles(root: Path) -> list[Path]:
    """Every metafile under ``root/configs``, sorted."""
    return sorted(root.glob('configs/*/metafile.yml'))


# -------------------------------------------------------------------------------------- rendering


def _short(number: int) -> str:
    """1460844 as '1.46 M'; '-' for 0."""
    if not number:
        return '-'
    for unit, name in ((10**9, 'G'), (10**6, 'M'), (10**3, 'k')):
        if number >= unit:
            return f'{number / unit:{".3g" if number < 1000 * unit else ".0f"}} {name}'
    return str(number)


def _row(cells: Iterable[str]) -> str:
    return f'| {" | ".join(cells)} |'


def _best(model: Model, task: str, dataset: str, rerun: bool) -> Result | None:
    """The last result of a kind: what was re-run later, or corrected, stands below."""
    found = [result for result in model.results if (result.task, result.dataset) == (task, dataset)
             and (result.source == RERUN) == rerun]
    return found[-1] if found else None


def _weights(model: Model) -> str:
    links = [('ours', model.weights), ('official', model.official_weights)]
    return ' '.join(f'[{text}]({url})' for text, url in links if url) or '-'


def results_tables(models: Iterable[Model], link: str) -> str:
    """Published beside reproduced numbers: one table for each task and dataset.

    Args:
        models: Of one metafile.
        link: What to put before a config's path to reach it from the document.
    """
    models = list(models)
    groups: dict[tuple[str, str, str], list[Model]] = {}
    for model in models:
        for result in model.results:
            members = groups.setdefault((result.task, result.dataset, next(iter(result.metrics))), [])
            if model not in members:
                members.append(model)
    blocks = []
    for (task, dataset, metric), members in groups.items():
        rows = []
        for model in members:
            published = _best(model, task, dataset, rerun=False)
            rerun = _best(model, task, dataset, rerun=True)
            rows.append([
                f'[{model.name}]({link}{model.config})', _short(model.parameters),
                _short(model.flops), model.input_size or '-',
                *(f'{result.metrics.get(metric, "-")}' if result else '-'
                  for result in (published, rerun)),
                published.source if published else '-', _weights(model)
            ])
        head = ['model', 'parameters', 'FLOPs', 'input', f'{metric}, published',
                f'{metric}, reproduced', 'source', 'weights']
        blocks.append(_table(f'**{task}, {dataset}**', head, rows))
    rest = [model for model in models if not model.results]
    if rest:
        rows = [[f'[{model.name}]({link}{model.config})', _short(model.parameters),
                 _short(model.flops), model.input_size or '-', _weights(model)] for model in rest]
        blocks.append(_table('**Without a published number**',
                             ['model', 'parameters', 'FLOPs', 'input', 'weights'], rows))
    return '\n\n'.join(blocks)


def _table(title: str, head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; numbers are set right, and a last column without content is left out."""
    if all(row[-1] == '-' for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    text = {'model', 'source', 'weights'}
    rule = ['---' if name in text else '--:' for name in head]
    return '\n'.join([title, '', _row(head), _row(rule), *(_row(row) for row in rows)])


#: Kinds that the README counts and ``mmext list METHOD`` names.
_SMALL_PARTS = frozenset(('head', 'loss', 'cost', 'assigner', 'task util', 'hook', 'loop'))


def plugin_table(root: Path, entries: Iterable[Entry] = CATALOGUE) -> str:
    """The README's table: a row for each method, then the parts that are not a published method."""
    methods: dict[str, list[Entry]] = {}
    parts = []
    for entry in entries:
        if entry.method:
            methods.setdefault(entry.method, []).append(entry)
        else:
            parts.append(entry)
    lines = [_row(['plug-in', 'kind', 'hosts', 'paper', 'page', 'state']), _row(['---'] * 6)]
    for method, members in methods.items():
        main = members[0]
        named = [entry for entry in members if entry.kind not in _SMALL_PARTS] or members[:1]
        rest = len(members) - len(named)
        hosts = [host for host in ALL_HOSTS if any(host in entry.hosts for entry in members)]
        lines.append(_row([
            '<br>'.join(f'`mmext.{entry.name}`' for entry in named)
            + (f'<br>and {rest} part{"s" * (rest > 1)}' if rest else ''),
            ', '.join(dict.fromkeys(entry.kind for entry in named)), ' '.join(hosts),
            f'[{main.paper.title}]({main.paper.url}), {main.paper.year}' if main.paper else '-',
            f'[{method}]({main.page})',
            _state(root, method)]))
    if parts:
        lines += ['', _row(['part', 'kind', 'hosts', 'what']), _row(['---'] * 4)]
        lines += [_row([f'`mmext.{entry.name}`', entry.kind, ' '.join(entry.hosts), entry.summary])
                  for entry in parts]
    return '\n'.join(lines)


def _state(root: Path, method: str) -> str:
    cases = len(list((root / 'tests' / 'goldens' / method).glob('*.json')))
    folder = root / 'configs' / method
    metafile = folder / 'metafile.yml'
    models = read_metafile(metafile) if metafile.is_file() else []
    published = [model for model in models if any(r.source != RERUN for r in model.results)]
    rerun = [model for model in models if any(r.source == RERUN for r in model.results)]
    return (f'parity: {cases} golden cases · configs: {len(list(folder.glob("*.py")))} · '
            f'published numbers: {len(published)}, reproduced: {len(rerun)}')


def model_index(methods: Iterable[str]) -> str:
    """The text of ``model-index.yml``, from which mim and mmengine's hub find the metafiles."""
    lines = [f'  - configs/{method}/metafile.yml' for method in sorted(methods)]
    return '\n'.join(['Import:', *lines, ''])


def _model_zoo(root: Path, entries: Iterable[Entry]) -> str:
    entries = list(entries)
    blocks = ['# Model zoo\n\n<!-- Made by tools/misc/update_docs.py from configs/*/metafile.yml. -->\n\n'
              'What the authors published beside what was reproduced with the configs here '
              "('-': not yet).\nParameters are the built model's; FLOPs are multiply-adds at the "
              'stated input size. More metrics of each model are in its metafile.']
    for path in metafiles(root):
        method = path.parent.name
        main = next((entry for entry in entries if entry.method == method), None)
        paper = main.paper if main else None
        cited = f'[{paper.title}]({paper.url}) ({paper.year}) · ' if paper else ''
        blocks.append(f'## {main.name if main else method}\n\n'
                      f'{cited}[page](../configs/{method}/README.md) · '
                      f'[metafile](../configs/{method}/metafile.yml)\n\n'
                      + results_tables(read_metafile(path), '../'))
    return '\n\n'.join(blocks) + '\n'


def fill(text: str, block: str, content: str, path: Path) -> str:
    """``text`` with what is between ``<!-- block -->`` and ``<!-- /block -->`` replaced.

    Raises:
        UserError: If the markers are not there; the message says to add them to ``path``.
    """
    first, last = f'<!-- {block} -->', f'<!-- /{block} -->'
    pattern = re.compile(f'{re.escape(first)}.*?{re.escape(last)}', re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise UserError(f'{path}: add the two lines {first} and {last}, once, where the generated '
                        'table belongs')
    return pattern.sub(lambda _: f'{first}\n{content}\n{last}', text)


def documents(root: Path, entries: Iterable[Entry] = CATALOGUE
              ) -> tuple[dict[Path, str], list[str]]:
    """What the generated documents should say.

    Args:
        root: The checkout.
        entries: The catalogue.

    Returns:
        The text of each document, and a message for each that cannot be made.
    """
    entries = list(entries)
    problems = []
    made = {
        root / 'model-index.yml': model_index(path.parent.name for path in metafiles(root)),
        root / 'docs' / 'model_zoo.md': _model_zoo(root, entries),
    }
    blocks = [(root / 'README.md', 'plug-ins', plugin_table(root, entries))]
    blocks += [(path.parent / 'README.md', 'results',
                results_tables(read_metafile(path), '../../')) for path in metafiles(root)]
    for path, block, content in blocks:
        try:
            made[path] = fill(path.read_text() if path.is_file() else '', block, content, path)
        except UserError as error:
            problems.append(str(error))
    return made, problems


def outdated(root: Path, entries: Iterable[Entry] = CATALOGUE) -> tuple[dict[Path, str], list[str]]:
    """As :func:`documents`, but only those that differ from what is on disk."""
    made, problems = documents(root, entries)
    stale = {path: text for path, text in made.items()
             if not path.is_file() or path.read_text() != text}
    return stale, problems
