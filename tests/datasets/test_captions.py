"""Captions beside annotations, their nouns, and what is said about bad files."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmext.datasets.captions import CaptionCocoDataset, CaptionCocoPanopticDataset, LoadCaption, read_captions
from mmext.datasets.nouns import NounFinder
from mmext.datasets.panoptic import LoadPanoptic
from mmext.datasets.transforms.merge_classes import MergeClasses
from mmext.errors import UserError
from mmext.models.language import WordEmbeddings

from ..integration.conftest import REAL_DATA

WORDS = str(Path(__file__).parents[2] / 'configs/cgg/toy_words_minilm.safetensors')
REAL = REAL_DATA / 'tiny_coco'


@pytest.mark.parametrize(('caption', 'nouns'), [
    ('Two men eat hot dogs near a bus.', ['person', 'hot dog', 'bus']),
    ('A DOG, another dog.', ['dog']),
    ('Sunset over the hills.', []),
    ('Knives in boxes', ['knife', 'box']),
])
def test_nouns(caption: str, nouns: list[str]) -> None:
    assert NounFinder(['person', 'dog', 'hot dog', 'bus', 'knife', 'box'])(caption) == nouns


@given(st.lists(st.sampled_from(['star', 'ring', 'red', 'a', 'the', 'disc']), max_size=12))
def test_every_listed_word_is_found_once(words: list[str]) -> None:
    found = NounFinder(['star', 'ring', 'disc'], {})(' '.join(words))
    assert found == list(dict.fromkeys(word for word in words if word in ('star', 'ring', 'disc')))


@pytest.mark.parametrize(('plural', 'noun'), [
    ('horses', 'horse'), ('vases', 'vase'), ('suitcases', 'suitcase'), ('purses', 'handbag'),
    ('cookies', 'cookie'), ('ponies', 'pony'), ('buses', 'bus'), ('dishes', 'dish'), ('skis', 'skis'),
    ('teddy bears', 'teddy bear'), ('wolves', 'wolf'), ('giraffes', 'giraffe'), ('glasses', 'glass')])
def test_plurals(plural: str, noun: str) -> None:
    assert NounFinder([noun])(f'Two {plural} there') == [noun]


def _file(path: Path, annotations: list[dict]) -> str:
    path.write_text(json.dumps(dict(images=[dict(id=1)], annotations=annotations)))
    return str(path)


def test_bad_files(tmp_path: Path) -> None:
    stray = _file(tmp_path / 'stray.json', [dict(id=5, image_id=7, caption='a star', nouns=['star'])])
    with pytest.raises(UserError, match='image 7'):
        read_captions(stray)
    bare = _file(tmp_path / 'bare.json', [dict(id=5, image_id=1, caption='a star')])
    with pytest.raises(UserError, match=r'caption 5 .*caption_nouns\.py'):
        read_captions(bare)
    assert len(read_captions(bare, nouns=False)) == 1
    with pytest.raises(UserError, match=r'did you mean bare\.json'):
        read_captions(tmp_path / 'bear.json')


def test_load_caption() -> None:
    load = LoadCaption(WORDS, max_length=6)
    caption = dict(caption='Two rings, a star and a disc.', nouns=['ring', 'star'])
    results = load(dict(captions=[caption]))
    words = WordEmbeddings(WORDS, 384).tokenizer
    assert [words.tokens[row] for row in results['caption_ids']] == [
        '[CLS]', 'two', 'rings', ',', 'a', '[SEP]']
    assert words.decode(results['noun_ids']) == 'ring star'
    assert load(dict(captions=[dict(caption='grass', nouns=[])]))['noun_ids'] == []
    with pytest.raises(UserError, match='CaptionCocoDataset'):
        load({})


def test_words_of_names() -> None:
    words = WordEmbeddings(WORDS, 384)
    pair, star, ring = words.embed(['star ring', 'star', 'Ring'])
    np.testing.assert_allclose(pair, (star + ring) / 2, rtol=1e-6)
    with pytest.raises(UserError, match="no word 'elephant'"):
        words.embed(['elephant'])


@pytest.mark.skipif(not REAL.is_dir(), reason='no tiny COCO')
def test_real_captions() -> None:
    instances = REAL / 'annotations/instances_train2017.json'
    names = [one['name'] for one in json.loads(instances.read_text())['categories']]
    data = CaptionCocoDataset(
        ann_file='annotations/instances_train2017.json', caption_file='annotations/captions_train2017.json',
        data_root=str(REAL), data_prefix=dict(img='train2017/'), metainfo=dict(classes=('person', 'dog')),
        nouns=names, filter_cfg=dict(filter_empty_gt=False), pipeline=[])
    captions = [one for index in range(len(data)) for one in data.get_data_info(index)['captions']]
    assert len(data) == 50
    assert len(captions) == 250
    assert np.mean([bool(one['nouns']) for one in captions]) > 0.6


def test_unknown_things_are_void_and_named_in_captions(toy_root: Path) -> None:
    """Open-set panoptic segmentation: no panopticapi, and no pixel of an unknown class."""
    known = ('bar', 'disc', 'triangle', 'brick', 'grass', 'sand', 'water')
    data = CaptionCocoPanopticDataset(
        ann_file='annotations/panoptic_train.json', caption_file='annotations/captions_train.json',
        data_root=str(toy_root / 'coco'), nouns=(*known, 'ring', 'star'), pipeline=[],
        data_prefix=dict(img='train/', seg='annotations/panoptic_train/'),
        metainfo=dict(classes=known, thing_classes=known[:3], stuff_classes=known[3:]),
        filter_cfg=dict(filter_empty_gt=False))
    load = LoadPanoptic()
    named = 0
    for index in range(len(data)):
        info = dict(data.get_data_info(index), ori_shape=(128, 128))
        loaded = load(info)
        found = set(np.unique(loaded['gt_seg_map']).tolist())
        unknown = {'ring', 'star'} & {noun for one in info['captions'] for noun in one['nouns']}
        assert found <= {*range(len(known)), 255}
        assert not unknown or 255 in found
        named += bool(unknown)
        assert set(MergeClasses()(loaded)['gt_bboxes_labels'].tolist()) <= {0}
    assert 0 < named < len(data)


def test_labels_are_the_places_in_the_classes(toy_root: Path) -> None:
    """Of the head, which reads them as places in base_classes; the file has another order."""
    def data(*classes: str) -> CaptionCocoDataset:
        return CaptionCocoDataset(
            ann_file='annotations/instances_train.json', caption_file='annotations/captions_train.json',
            data_root=str(toy_root / 'coco'), data_prefix=dict(img='train/'), nouns=['bar'], pipeline=[],
            metainfo=dict(classes=classes), filter_cfg=dict(filter_empty_gt=False))

    ahead, back = data('bar', 'star'), data('star', 'bar')
    swapped = 0
    for index in range(len(ahead)):
        one, other = ([instance['bbox_label'] for instance in each.get_data_info(index)['instances']]
                      for each in (ahead, back))
        assert one == [1 - label for label in other]
        swapped += len(one)
    assert swapped
    with pytest.raises(UserError, match="no category 'stra'; did you mean star"):
        data('bar', 'stra').full_init()


def test_an_image_without_a_caption(toy_root: Path) -> None:
    content = json.loads((toy_root / 'coco/annotations/captions_train.json').read_text())
    lost = content['images'][3]['id']
    content['annotations'] = [one for one in content['annotations'] if one['image_id'] != lost]
    path = toy_root / 'coco/annotations/captions_lost.json'
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf'captions_lost.json has no caption of image {lost} '):
        CaptionCocoDataset(
            ann_file='annotations/instances_train.json', caption_file='annotations/captions_lost.json',
            data_root=str(toy_root / 'coco'), data_prefix=dict(img='train/'), nouns=['bar'], pipeline=[],
            metainfo=dict(classes=('bar', )), filter_cfg=dict(filter_empty_gt=False))


def test_captions_that_are_none(tmp_path: Path) -> None:
    for content in ('[', '{}', '{"images": [{"id": 1}], "annotations": [{"image_id": 1, "caption": 5}]}'):
        path = tmp_path / 'bad.json'
        path.write_text(content)
        with pytest.raises(UserError, match='no COCO caption file'):
            read_captions(path)
