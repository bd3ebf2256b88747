"""Names of figures and data sets, published numbers beside reproduced ones, ranked tables."""
from __future__ import annotations

import csv
import io

import pytest

from mmext import zoo
from mmext.leaderboard.figures import dataset_name, figures
from mmext.leaderboard.published import beside, of_config, published, root, tolerance
from mmext.leaderboard.rendering import differences, short_count
from mmext.leaderboard.table import select, tables
from mmext.leaderboard.text import comma_separated, markdown

from .samples import CONFIG, record


@pytest.mark.parametrize('metrics, expected', [
    ({'coco/bbox_mAP': 0.3745, 'coco/segm_mAP_50': 0.5, 'coco/bbox_mAP_l': -1., 'coco/cat_precision': 0.1},
     {('Object Detection', 'box AP'): 37.45, ('Instance Segmentation', 'mask AP50'): 50.}),
    ({'dota/mAP': 0.7, 'dota/AP50': 0.7}, {('Oriented Object Detection', 'mAP'): 70.,
                                           ('Oriented Object Detection', 'AP50'): 70.}),
    ({'aAcc': 80.1, 'mIoU': 41.2, 'IoU.wall': 3.}, {('Semantic Segmentation', 'aAcc'): 80.1,
                                                   ('Semantic Segmentation', 'mIoU'): 41.2}),
    ({'accuracy/top1': 79.4, 'accuracy/top5': None}, {('Image Classification', 'Top 1 Accuracy'): 79.4}),
    ({'my/score': 7.}, {('Other', 'my/score'): 7.}),
])
def test_every_hosts_metric_has_one_name_in_percent(metrics, expected):
    assert figures(metrics) == expected


def test_the_figure_to_rank_by_is_first():
    assert [one.metric for one in figures({'aAcc': 1., 'mAcc': 2., 'mIoU': 3.})] == ['mIoU', 'mAcc', 'aAcc']


@pytest.mark.parametrize('dataset, name', [
    (dict(type='CocoDataset', data_root='data/coco/', ann_file='annotations/instances_val2017.json'), 'COCO'),
    (dict(type='CocoDataset', data_root='data/coco/', ann_file='annotations/image_info_test-dev2017.json'),
     'COCO test-dev'),
    (dict(type='CocoDataset', data_root='data/mine/', ann_file='instances_val2017.json'),
     'mine instances_val2017'),
    (dict(type='ADE20KDataset', data_root='/data/ade/ADEChallengeData2016'), 'ADE20K'),
    (dict(type='DOTADataset', data_root='data/split_ss_dota/', ann_file='val/annfiles/'), 'DOTAv1.0'),
    (dict(type='ImageNet', data_root='data/imagenet', split='val'), 'ImageNet-1k'),
    (dict(type='mmdet.CocoDataset', data_root='data/toy/coco/', ann_file='annotations/instances_val.json'),
     'toy COCO'),
    (dict(type='RepeatDataset', dataset=dict(type='ImageNet', data_root='data/imagenet')), 'ImageNet-1k'),
    (dict(type='ConcatDataset',
          datasets=[dict(type='A', data_root='data/a'), dict(type='B', data_root='data/b')]), 'a + b'),
    (dict(type='Odd'), 'Odd'),
])
def test_data_sets_are_named_by_where_they_are(dataset, name, monkeypatch):
    monkeypatch.delenv('MMEXT_TOY_DATA', raising=False)
    assert dataset_name(dict(dataset=dataset)) == name


def test_published_rows_are_those_of_the_metafiles():
    rows = published()
    models = [model for path in zoo.metafiles(root()) for model in zoo.read_metafile(path)]
    expected = {(model.name, result.task, result.dataset) for model in models for result in model.results
                if result.source != zoo.RERUN}
    assert {(row.model, row.task, row.dataset) for row in rows} == expected and expected
    assert all((root() / row.config).is_file() and (root() / row.page).is_file() for row in rows)


def test_a_published_value_stands_beside_the_reproduction():
    found = beside(CONFIG, 'COCO', {'coco/bbox_mAP': 0.381, 'coco/bbox_mAP_s': 0.2})
    assert [one['metric'] for one in found] == ['box AP']
    assert found[0]['tolerance'] == tolerance('COCO') == 0.3
    assert found == beside(f'/somewhere/else/{CONFIG}', 'COCO', {'coco/bbox_mAP': 0.381})
    assert not beside(CONFIG, 'toy COCO', {'coco/bbox_mAP': 0.381}), 'other data'
    assert not beside('mine.py', 'COCO', {'coco/bbox_mAP': 0.381}), 'another config'


def test_of_models_that_share_a_config_its_namesake_counts():
    found = of_config('configs/emov2/emov2-1m_8xb128_in1k.py')
    assert {one.model for one in found} == {'emov2-1m_8xb128_in1k'}


@pytest.mark.parametrize('value, verdict', [
    (41.2, 'within'), (41.8, 'within'), (41.19, 'below'), (41.81, 'above'), (None, '')])
def test_tolerance_includes_its_ends(value, verdict):
    assert differences(dict(value=41.5, tolerance=0.3), value)['verdict'] == verdict


def test_tables_rank_and_merge():
    groups = tables([record(), record('mine', config='mine.py', dataset='toy COCO')], published())
    assert [group.dataset for group in groups[:2]] == ['COCO', 'toy COCO'], 'our own first'
    coco = groups[0]
    values = [row.value(coco.metrics[0]) for row in coco.rows]
    known = [value for value in values if value is not None]
    assert known == sorted(known, reverse=True)
    assert values[:len(known)] == known, 'what has no such figure is last'
    own = next(row for row in coco.rows if row.record)
    assert own.published['box AP'] == 41.5 and own.own['box AP'] == 38.1 and own.method == 'EMOv2'
    assert 'retinanet_emov2-5m_fpn_4xb4-1x_coco' not in {row.name for row in coco.rows}, 'it is in our row'
    assert groups[1].rows[0].published == {} and groups[1].rows[0].method == ''


def test_a_record_with_boxes_and_masks_is_in_both_tables():
    groups = tables([record(metrics={'coco/bbox_mAP': .4, 'coco/segm_mAP': .3}, published=())], [])
    assert [(one.task, one.rows[0].own) for one in groups] == [
        ('Object Detection', {'box AP': 40.}), ('Instance Segmentation', {'mask AP': 30.})]


def test_only_evaluations_worth_a_row_are_selected():
    records = [record('a', id=1, phase='val', metrics={'mIoU': 9.}), record('a', id=2), record('a', id=3),
               record('a', id=4, checkpoint_digest='00'),
               record('b', id=5, phase='val', metrics={'mIoU': 3.}),
               record('b', id=6, phase='val', metrics={'mIoU': 2.}), record('c', id=7, checkpoint_digest=''),
               record('c', id=8, checkpoint_digest='')]
    assert [one.id for one in select(records)] == [3, 4, 5, 7, 8]


def test_markdown_and_csv_have_every_row():
    groups = tables([record('a|b')], published())
    text, rows = markdown(groups), list(csv.DictReader(io.StringIO(comma_separated(groups))))
    assert 'a\\|b' in text
    for group in groups:
        for row in group.rows:
            assert row.name.replace('|', '\\|') in text
            mine = [one for one in rows if (one['model'], one['task'], one['dataset'])
                    == (row.name, group.task, group.dataset)]
            assert {one['metric'] for one in mine} == {m for m in group.metrics if row.value(m) is not None}
    ours = next(one for one in rows if one['model'] == 'a|b' and one['metric'] == 'box AP')
    assert (ours['published'], ours['reproduced'], float(ours['difference'])) == ('41.5', '38.1', -3.4)
    assert ours['checkpoint_sha256'] == 'ab' * 32 and ours['config_sha256'] == record().config_digest


@pytest.mark.parametrize('value, text', [(None, '–'), (0, '0'), (999, '999'), (1_460_844, '1.46 M'),
                                         (158_000_000_000, '158 G'), (2_500_000_000_000, '2500 G')])
def test_counts_are_short(value, text):
    assert short_count(value) == text
