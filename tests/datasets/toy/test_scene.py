"""What lies in a scene."""
from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from mmext.datasets.toy.captions import describe
from mmext.datasets.toy.classes import CLASSES, COLOURS, STUFF
from mmext.datasets.toy.scene import compose, compose_portrait
from mmext.datasets.toy.shapes import UNIT
from mmext.datasets.toy.textures import VOID


@pytest.fixture(scope='module')
def scenes():
    return [compose(128, 0, 0, index) for index in range(60)]


def singles(scene):
    return [thing for thing in scene.things if not thing.crowd]


def test_objects_are_as_promised(scenes):
    for scene in scenes:
        assert 1 <= len(singles(scene)) <= 6
        for thing in singles(scene):
            assert 16 <= thing.poses[0].a * 2 // UNIT <= 68
            assert thing.poses[0].fits(128)
        for thing in scene.things:
            assert thing.area * 100 >= thing.full_area * 75
    counts = Counter(len(singles(scene)) for scene in scenes)
    assert set(counts) == set(range(1, 7))


def test_there_is_overlap_clutter_crowds_and_every_background(scenes):
    things = [thing for scene in scenes for thing in scene.things]
    assert sum(not thing.whole for thing in things) > len(things) // 6
    assert any(thing.crowd and len(thing.poses) >= 5 for thing in things)
    assert any(thing.difficult and not thing.crowd for thing in things)
    assert sum((scene.labels == VOID).any() for scene in scenes) > 20
    seen = set(np.unique(np.stack([scene.labels for scene in scenes])).tolist())
    assert seen == {VOID, *range(len(CLASSES + STUFF))}


def test_labels_and_masks_agree(scenes):
    for scene in scenes:
        owners = np.zeros((128, 128), int)
        for thing in scene.things:
            owners += thing.mask
            assert (scene.labels[thing.mask] == thing.label).all()
        assert owners.max() <= 1
        assert np.array_equal(owners == 1, (scene.labels >= 0) & (scene.labels < len(CLASSES)))


def test_colour_is_a_hint_and_no_more():
    """Two usual colours a class, two of them usual for two classes; every colour happens."""
    pairs = Counter()
    for index in range(250):
        for thing in compose(48, 3, 0, index).things:
            pairs[thing.name, thing.colour] += 1
    assert len(pairs) == len(CLASSES) * len(COLOURS)
    usual = {name: {colour for colour in COLOURS if pairs[name, colour] > 40} for name in CLASSES}
    assert all(len(colours) == 2 for colours in usual.values())
    assert len(set().union(*usual.values())) == 8
    right = sum(count for (name, colour), count in pairs.items() if colour in usual[name])
    assert 0.8 < right / sum(pairs.values()) < 0.9


def test_scenes_are_independent_and_named_by_all_of_their_key():
    first = compose(64, 0, 0, 0)
    assert np.array_equal(first.image, compose(64, 0, 0, 0).image)
    for other in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        assert not np.array_equal(first.image, compose(64, *other).image)


@pytest.mark.parametrize('size', [32, 50, 200])
def test_any_size(size):
    for index in range(12):
        scene = compose(size, 0, 0, index)
        assert scene.image.shape == (size, size, 3) and scene.labels.shape == (size, size)
        assert singles(scene)
        assert all(thing.mask.any() for thing in scene.things)


def test_portraits_show_one_dominant_object():
    scenes = [compose_portrait(96, 0, 1, index) for index in range(20)]
    assert [scene.things[0].label for scene in scenes] == [index % 5 for index in range(20)]
    for scene in scenes:
        [thing] = scene.things
        assert thing.whole and thing.poses[0].a * 2 // UNIT >= 96 * 40 // 100 - 1


NUMBERS = {'a': 1, 'an': 1, 'two': 2, 'three': 3, 'four': 4, 'five': 5, 'six': 6}


def test_captions_name_exactly_the_classes_present(scenes):
    for scene in scenes:
        present = {thing.name for thing in scene.things}
        for caption in describe(scene):
            words = caption.lower().strip('.').replace(',', '').split()
            named = {name for name in CLASSES if name in words or f'{name}s' in words}
            assert named == present, caption
            assert caption[0].isupper() and caption.endswith('.') and '  ' not in caption


def test_captions_count_and_colour_correctly(scenes):
    for scene in scenes:
        counting, colouring, placing = describe(scene)
        phrases = re.findall(rf'\b({"|".join(NUMBERS)}) ({"|".join(CLASSES)})(s?)\b',
                             counting.lower())
        assert all((NUMBERS[number] > 1) == bool(plural) for number, _, plural in phrases)
        counted = {name: NUMBERS[number] for number, name, _ in phrases}
        assert counted == Counter(thing.name for thing in singles(scene))
        crowds = [thing for thing in scene.things if thing.crowd]
        assert counting.lower().count('a crowd of small') == len(crowds)
        for thing in scene.things:
            for caption in (colouring, placing):
                assert f'{thing.colour} {thing.name}' in caption
        ground = {name for number, name in enumerate(STUFF, 5) if (scene.labels == number).any()}
        assert all(name in describe(scene)[0] for name in ground)


def test_captions_place_correctly(scenes):
    checked = 0
    for scene in scenes:
        if len(scene.things) == 1 and not scene.things[0].crowd:
            y, x = (pixels.mean() for pixels in np.nonzero(scene.things[0].mask))
            if min(abs(at - border) for at in (y, x) for border in (42.67, 85.33)) < 1:
                continue  # on a border either word will do
            caption = describe(scene)[2]
            assert ('top' in caption, 'bottom' in caption) == (y < 42.67, y >= 85.33)
            assert ('left' in caption, 'right' in caption) == (x < 42.67, x >= 85.33)
            checked += 1
    assert checked > 3
