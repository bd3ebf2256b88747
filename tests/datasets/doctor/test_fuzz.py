"""Whatever the annotation files hold, the doctor answers with findings, never with an exception."""
from __future__ import annotations

import copy
import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmext.datasets.doctor import Finding

from .builders import COCO, ade, coco, dota, examined, folders

SETTINGS = settings(max_examples=120, deadline=None,
                    suppress_health_check=[HealthCheck.function_scoped_fixture])
NUMBERS = st.integers(-3, 60) | st.floats() | st.just(10**400)
JUNK = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=3) | st.just('cat'),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(
        st.sampled_from(['id', 'bbox', 'size', 'counts', 'segments_info']), inner, max_size=3),
    max_leaves=8)


def _places(tree, path=()):
    for key, child in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield (*path, key)
        if isinstance(child, (dict, list)):
            yield from _places(child, (*path, key))


def _is_report(report):
    for finding in report.findings:
        assert isinstance(finding, Finding) and finding.severity in ('error', 'warning')
        assert finding.count >= 1 and str(finding)
        assert all(math.isfinite(value) for example in finding.examples
                   for polygon in example.polygons for value in polygon)
    assert not any(finding.kind == 'not-built' for finding in report.findings)
    json.dumps(report.to_dict())
    return True


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """One data set of each kind, by name; the files that tests overwrite are in it."""
    roots = {name: tmp_path_factory.mktemp(name) for name in ('coco', 'dota', 'ade', 'folders')}
    return roots, dict(coco=coco(roots['coco']), dota=dota(roots['dota'], ''),
                       ade=ade(roots['ade'], (0, 1)),
                       folders=folders(roots['folders'], ann_file='list.txt'))


@SETTINGS
@given(data=st.data())
def test_coco_with_junk_anywhere(made, data):
    content = copy.deepcopy(COCO)
    for _ in range(data.draw(st.integers(1, 4))):
        *parents, last = data.draw(st.sampled_from(list(_places(content))))
        node = content
        for key in parents:
            node = node[key]
        if isinstance(node, dict) and data.draw(st.booleans()):
            del node[last]
        else:
            node[last] = data.draw(JUNK)
    roots, datasets = made
    (roots['coco'] / 'a.json').write_text(json.dumps(content))
    assert _is_report(examined(datasets['coco'], use_cache=False))


@SETTINGS
@given(text=st.binary(max_size=200) | JUNK.map(lambda value: json.dumps(value).encode()))
def test_coco_of_any_content(made, text):
    roots, datasets = made
    (roots['coco'] / 'a.json').write_bytes(text)
    report = examined(datasets['coco'], use_cache=False)
    assert _is_report(report) and report.errors, 'none of this is an annotation file'


def test_coco_nested_too_deep(made):
    roots, datasets = made
    (roots['coco'] / 'a.json').write_text('[' * 100_000)
    assert [one.kind for one in examined(datasets['coco'], use_cache=False).findings] == ['not-json']


FIELD = st.one_of(NUMBERS.map(str), st.sampled_from(['ship', 'plane', 'gsd:', 'imagesource:x', '0', '1e999']),
                  st.text(max_size=4))
LINE = st.lists(FIELD, max_size=11).map(' '.join)


@SETTINGS
@given(text=st.lists(LINE, max_size=6).map('\n'.join).map(
    lambda text: text.encode('utf-8', 'surrogatepass')) | st.binary(max_size=80))
def test_dota(made, text):
    roots, datasets = made
    (roots['dota'] / 'labels/P1.txt').write_bytes(text)
    for kind in ('mmrotate.DOTADataset', 'mmext.RawDOTADataset'):
        assert _is_report(examined({**datasets['dota'], 'type': kind}, use_cache=False))


@SETTINGS
@given(lines=st.lists(LINE, max_size=6), encoded=st.binary(max_size=40))
def test_classification_lists(made, lines, encoded):
    roots, datasets = made
    content = '\n'.join(lines).encode('utf-8', 'replace') + encoded
    (roots['folders'] / 'list.txt').write_bytes(content)
    assert _is_report(examined(datasets['folders'], use_cache=False))


@SETTINGS
@given(content=st.binary(max_size=120), keep=st.integers(0, 200), reduce=st.booleans())
def test_label_maps(made, content, keep, reduce):
    roots, datasets = made
    file = roots['ade'] / 'labels/a.png'
    whole = (roots['ade'] / 'labels/b.png').read_bytes()
    file.write_bytes(whole[:keep] + content)
    assert _is_report(examined({**datasets['ade'], 'reduce_zero_label': reduce}, use_cache=False))
