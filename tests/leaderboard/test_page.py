"""The HTML page: one file that needs nothing else, and works in a browser."""
from __future__ import annotations

import html.parser
import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from mmext.leaderboard.calibration import calibration_diagrams
from mmext.leaderboard.curves import POINTS, read_curves
from mmext.leaderboard.page import page_text
from mmext.leaderboard.published import published
from mmext.leaderboard.record import Submission
from mmext.leaderboard.rendering import data_uri
from mmext.leaderboard.table import tables
from mmext.models.ensemble.calibrator import PRAECalibrator

from ..models.ensemble.random_scenes import CLASSES, DETECTORS, random_scenes
from .browser import act
from .samples import picture, record

EVIL = '</script><script>problems.push("injected")</script><img src=x onerror=1>'


def _page(folder: Path, **changes: object) -> Path:
    """A page with three runs beside everything published."""
    checkpoint = folder / 'training' / 'epoch_12.pth'
    _scalars(folder / 'training' / '20260101' / 'vis_data', 60)
    records = [
        record('plain', id=1, metrics={'coco/bbox_mAP': 0.3615}, latency_ms=20.),
        record('within', id=2, metrics={'coco/bbox_mAP': 0.4151}, checkpoint=str(checkpoint),
               pictures=(picture(), picture('b.jpg', 0.9, True))),
        record(EVIL, id=3, dataset='toy COCO', config_text=EVIL, environment={'x': EVIL},
               submissions=(Submission('ade20k', '2026-01-01T00:00:00Z', EVIL, 'ab', EVIL, EVIL.encode()), ))]
    path = folder / 'page.html'
    path.write_text(page_text(path, tables(records, published()), records), encoding='utf-8')
    return path


def _scalars(folder: Path, steps: int, first: int = 1) -> None:
    folder.mkdir(parents=True)
    rows = [dict(lr=0.1, loss=9 / step, iter=step, step=step) for step in range(first, first + steps)]
    text = '\n'.join(map(json.dumps, rows))
    (folder / 'scalars.json').write_text(text + '\n{"coco/bbox_mAP": 0.3, "step": 1}\n{"loss": 1, "it')


class _References(html.parser.HTMLParser):
    """Everything that a browser would load, and the targets of links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name == 'id':
                self.ids.add(str(value))
            elif name == 'href' and tag == 'a':
                self.links.append(str(value))
            elif name in ('src', 'href', 'srcset', 'poster', 'data', 'action'):
                self.loaded.append(str(value))


def test_page_loads_nothing_and_its_links_lead_somewhere(tmp_path):
    path = _page(tmp_path)
    text = path.read_text()
    references = _References(text)
    assert references.loaded and all(one.startswith('data:image/jpeg') for one in references.loaded)
    assert '@import' not in text and 'url(' not in text
    assert len([one for one in references.links if one.endswith('.py')]) > 50
    for link in references.links:
        if link.startswith('#'):
            assert link[1:] in references.ids
        else:
            assert (path.parent / unquote(link)).exists(), link


def test_page_without_a_run_shows_what_was_published(tmp_path):
    path = tmp_path / 'page.html'
    text = page_text(path, tables([], published()), [])
    assert 'None yet' in text and 'ADE20K' in text
    assert len(re.findall(r'<tr id="row-', text)) == len(published())


def test_sorting(tmp_path):
    order = act(_page(tmp_path), """
      const table = document.querySelector('section.table table');
      const heads = [...table.tHead.rows[0].cells];
      const column = (name) => heads.findIndex((one) => one.textContent === name);
      const values = (at) => [...table.tBodies[0].rows].map((row) => row.cells[at].dataset.v);
      const answer = {};
      for (const name of ['parameters', 'method', 'reproduced']) {
        const at = column(name), button = heads[at].querySelector('button');
        button.click();
        const once = [values(at), heads[at].getAttribute('aria-sort')];
        button.click();
        answer[name] = [once, [values(at), heads[at].getAttribute('aria-sort')],
                        heads.filter((one) => one.hasAttribute('aria-sort')).length];
      }
      return answer;
    """)
    for name, first in (('parameters', 'descending'), ('method', 'ascending'), ('reproduced', 'descending')):
        (once, direction), (twice, other), marked = order[name]
        assert (direction, marked) == (first, 1) and other != first
        key = str.lower if name == 'method' else float
        for values, reverse in ((once, direction == 'descending'), (twice, other == 'descending')):
            there = [one for one in values if one]
            assert there == sorted(there, key=key, reverse=reverse)
            assert values == there + [''] * (len(values) - len(there)), 'empty cells come last'


def test_filters(tmp_path):
    counts = act(_page(tmp_path), """
      const all = (selector) => [...document.querySelectorAll(selector)];
      const shown = () => all('section.table:not([hidden]) tbody tr:not([hidden])');
      const set = (id, value) => { const one = document.getElementById(id); one.value = value;
        one.dispatchEvent(new Event('input')); };
      const answer = { all: shown().length };
      set('filter', 'RETINANET emov2-5m');
      answer.words = shown().map((row) => row.dataset.text);
      set('filter', '');
      set('kind', 'ours');
      answer.ours = shown().map((row) => row.className);
      answer.count = document.getElementById('count').textContent;
      set('kind', '');
      set('method', 'BiFormer');
      answer.method = shown().map((row) => row.dataset.method);
      set('method', '');
      set('dataset', '1');
      answer.dataset = all('section.table:not([hidden])').map((one) => one.dataset.table);
      set('dataset', '0');
      set('filter', 'no such thing');
      answer.none = [shown().length, document.querySelector('section.table .empty').hidden];
      set('filter', ''); set('dataset', '');
      answer.again = shown().length;
      return answer;
    """)
    assert counts['all'] == counts['again'] == len(published()) - 1 + 3
    assert counts['words'] and all('retinanet' in one and 'emov2-5m' in one for one in counts['words'])
    assert counts['ours'] == ['ours'] * 3 and counts['count'] == f"3 of {counts['all']} rows"
    assert counts['method'] and set(counts['method']) == {'BiFormer'}
    assert counts['dataset'] == ['1'] and counts['none'] == [0, False]


def test_plots_and_keyboard(tmp_path):
    path = _page(tmp_path)
    answer = act(path, """
      const all = (selector) => [...document.querySelectorAll(selector)];
      const figure = document.querySelector('[data-chart]'), select = figure.querySelector('select');
      const ids = () => all('[data-chart="0"] .point').map((one) => one.dataset.row);
      const front = () => document.querySelector('[data-chart="0"] .front').dataset.front.split(' ');
      const answer = { axes: [...select.options].map((one) => one.value), points: ids(), front: front() };
      const point = figure.querySelector('.point');
      point.focus();
      answer.tip = document.querySelector('.tip').textContent;
      answer.lit = document.getElementById(point.dataset.row).classList.contains('lit');
      point.blur();
      answer.away = document.querySelector('.tip').hidden;
      select.value = 'latency'; select.dispatchEvent(new Event('change'));
      answer.latency = ids();
      answer.curves = all('[data-curves] figcaption').map((one) => one.textContent);
      answer.ids = new Set(all('[id]').map((one) => one.id)).size === all('[id]').length;
      const before = document.documentElement.dataset.theme;
      document.querySelector('[data-theme-toggle]').click();
      answer.theme = [before, document.documentElement.dataset.theme];
      location.hash = '#run-2';
      dispatchEvent(new Event('hashchange'));
      answer.open = document.getElementById('run-2').open;
      return answer;
    """)
    content = json.loads(re.search(r'id="data">(.*?)</script>', path.read_text(), re.DOTALL)[1])
    points = [one for one in content['charts'][0]['points'] if one['axes']['parameters'] and one['value']]
    best = [one['id'] for one in points if not any(
        other['axes']['parameters'] <= one['axes']['parameters'] and other['value'] >= one['value']
        and (other['axes']['parameters'], other['value']) != (one['axes']['parameters'], one['value'])
        for other in points)]
    assert answer['axes'] == ['parameters', 'flops', 'latency']
    assert set(answer['points']) == {one['id'] for one in points}
    assert set(answer['front']) <= set(best) and len(answer['front']) == len({
        (one['axes']['parameters'], one['value']) for one in points if one['id'] in best})
    assert 'box AP' in answer['tip'] and answer['lit'] and answer['away']
    assert len(answer['latency']) == 2, 'only ours have been timed'
    assert set(answer['curves']) == {'loss', 'lr'}
    assert set(answer['theme']) == {'dark', 'light'} and answer['open'] and answer['ids']


@pytest.mark.parametrize('steps', [5, POINTS * 7 + 3])
def test_curves_are_thinned_and_joined(tmp_path, steps):
    _scalars(tmp_path / '1' / 'vis_data', steps)
    _scalars(tmp_path / '2' / 'vis_data', 10, first=steps)  # resumed one step earlier
    curves = read_curves(tmp_path)
    loss = curves['loss']
    assert 2 <= len(loss) <= POINTS + 1
    assert loss[0][0] == 1 and loss[-1][0] == steps + 9
    assert [step for step, _ in loss] == sorted({step for step, _ in loss})
    assert [step for step, _ in curves['coco/bbox_mAP']] == [steps, steps + 9]


def test_calibration_of_an_ensemble_is_drawn(tmp_path):
    found, objects = random_scenes(2)
    path = tmp_path / 'calibration.json'
    PRAECalibrator().fit(found, objects, DETECTORS, CLASSES).save(path)
    damaged = tmp_path / 'damaged.json'
    damaged.write_text('{')
    texts = [f"model = dict(calibrator='{path}')",
             f"model = dict(test_cfg=dict(nms=dict(type='p_nms(idxs)', calibration='{path}')))",
             "model = dict(calibrator=None)", f"model = dict(calibrator='{damaged}')",
             f"model = dict(calibrator='{tmp_path}/gone.json')"]
    diagrams = [calibration_diagrams(record('ensemble', config_text=text)) for text in texts]
    assert [len(one) for one in diagrams] == [1, 1, 0, 0, 0]
    assert diagrams[0][0]['jpeg'].startswith(b'\xff\xd8')
    page = tmp_path / 'page.html'
    one = record('ensemble', id=1, config_text=texts[0])
    text = page_text(page, tables([one], []), [one])
    assert data_uri(diagrams[0][0]['jpeg']) in text
