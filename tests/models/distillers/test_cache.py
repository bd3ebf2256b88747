"""A teacher's answers are kept by picture: the same training, without the teacher's work."""
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmext.errors import UserError
from mmext.models.distillers.cache import TeacherCache, view_of
from mmext.registry import MODELS


class Seen(BaseModel):
    """Two layers; counts the images that it sees. Bad in several ways on demand."""

    def __init__(self, width: int = 3, noise: float = 0., merge: bool = False,
                 data_preprocessor: Any = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.body = nn.Conv2d(1, width, 3)
        self.head = nn.Conv2d(width, 2, 1)
        self.noise, self.merge, self.images = noise, merge, 0
        self.out = nn.Identity()

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = 'tensor') -> Any:
        self.images += len(inputs)
        maps = self.body(inputs)
        maps = maps + self.noise * torch.randn_like(maps)
        scores = self.head(maps)
        self.out(maps.flatten(0, 1) if self.merge else maps)
        return dict(loss_own=scores.square().mean()) if mode == 'loss' else scores


@pytest.fixture(autouse=True)
def _registered() -> Any:
    MODELS.register_module(module=Seen)
    yield
    MODELS._module_dict.pop('Seen')


def build(cache: Any = None, records: Any = None, **teacher: Any) -> Any:
    torch.manual_seed(0)
    return MODELS.build(dict(
        type='mmext.Distiller', student=dict(type='mmext.Seen'),
        teachers=dict(big=dict(dict(model=dict(type='mmext.Seen'), random=True, cache=cache), **teacher)),
        records=records or dict(s=dict(net='student', types=['Conv2d']), t=dict(net='big', types=['Conv2d']),
                                p=dict(net='student', module='out'), q=dict(net='big', module='out')),
        losses={f'loss_{pred}{target}': dict(loss=dict(type='mmext.FeatureDistillLoss'), pred=pred,
                                             target=target) for pred, target in ('st', 'pq')})).train()


PICTURES = torch.rand(7, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def samples(indices: list[int]) -> list[Any]:
    return [SimpleNamespace(metainfo=dict(img_path=f'{index}.png')) for index in indices]


def train(model: Any, orders: list[list[list[int]]], pictures: Tensor = PICTURES) -> list[float]:
    """SGD over epochs of batches; the losses of every step."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    values = []
    for epoch in orders:
        for batch in epoch:
            losses = model(pictures[batch], samples(batch), mode='loss')
            total = sum(losses.values())
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            values.append(total.item())
    return values


EPOCHS = [[[0, 1, 2, 3], [4, 5, 6]], [[6, 2, 0, 4], [1, 3, 5]], [[5, 4, 3, 2], [1, 0, 6]]]


def places(folder: Path) -> list[dict[str, Any]]:
    return [dict(where='ram'), dict(where='disk', dir=str(folder / 'cache'))]


@pytest.mark.parametrize('place', [0, 1])
def test_the_training_is_the_same_and_the_teacher_works_once(place: int, tmp_path: Path) -> None:
    model, plain = build(places(tmp_path)[place]), build()
    assert train(model, EPOCHS) == pytest.approx(train(plain, EPOCHS), rel=1e-5)
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(model.state_dict()[key], value)
    big = model.networks['big']
    # Seven pictures, and the four of the first batch that was known, to be sure.
    assert big.module.images == 7 + 4 and plain.networks['big'].module.images == 21
    assert (big.cache.misses, big.cache.hits) == (7, 14)


def test_a_batch_may_be_known_in_part() -> None:
    model, plain = build(dict(where='ram')), build()
    order = [[[0, 1], [1, 2], [2, 0, 3]]]
    assert train(model, order) == pytest.approx(train(plain, order), rel=1e-5)
    assert model.networks['big'].module.images == 4


def test_a_folder_serves_the_next_run(tmp_path: Path) -> None:
    _, disk = places(tmp_path)
    train(build(disk), EPOCHS[:1])
    again = build(disk)
    assert train(again, EPOCHS) == pytest.approx(train(build(), EPOCHS), rel=1e-5)
    assert again.networks['big'].cache.misses == 0
    for changes, what in ((dict(dtype='bf16'), 'run'),
                          (dict(model=dict(type='mmext.Seen', width=4)), 'weights')):
        with pytest.raises(UserError, match=f'keeps the answers of a teacher with other {what};'):
            train(build(disk, **changes), EPOCHS)
    files = sorted((tmp_path / 'cache').rglob('*.safetensors'))
    assert len(files) == 7 and not list((tmp_path / 'cache').rglob('*.tmp*'))
    files[0].write_bytes(b'half')  # a broken file is computed and written anew
    mended = build(disk)
    assert train(mended, EPOCHS) == pytest.approx(train(build(), EPOCHS), rel=1e-5)
    assert mended.networks['big'].cache.misses == 1
    (tmp_path / 'cache' / 'cache.json').write_text('{')
    with pytest.raises(UserError, match='cache.json is broken'):
        train(build(disk), EPOCHS)


def test_random_pictures_are_refused() -> None:
    model = build(dict(where='ram'))
    train(model, EPOCHS[:1])
    with pytest.raises(UserError, match=r"teacher 'big': img_path=6.png looks otherwise .* drawn at random"):
        train(model, EPOCHS[1:], PICTURES.flip(3))


def test_another_padding_is_another_picture() -> None:
    model = build(dict(where='ram'))
    train(model, EPOCHS[:1])
    train(model, EPOCHS[:1], nn.functional.pad(PICTURES, (0, 2)))
    assert model.networks['big'].cache.misses == 14


def test_a_random_teacher_is_found_out() -> None:
    model = build(dict(where='ram'), model=dict(type='mmext.Seen', noise=1.))
    train(model, EPOCHS[:1])
    with pytest.raises(UserError, match='it depends on random numbers or on the rest of the batch'):
        train(model, EPOCHS[1:])


def test_a_record_without_images_is_refused() -> None:
    model = build(dict(where='ram'), model=dict(type='mmext.Seen', merge=True),
                  records=dict(s=dict(net='student', module='body'), t=dict(net='big', module='out'),
                               p=dict(net='student', module='out'), q=dict(net='big', module='out')))
    with pytest.raises(UserError, match=r"record 't' of teacher 'big' .* \(12, 4, 4\) for 4 images"):
        train(model, EPOCHS)


def test_it_stops_when_it_is_full_and_keeps_less_in_a_small_dtype() -> None:
    entry = 4 * (2 * 3 * 16 + 2 * 16)  # bytes of a picture's two convolutions and the output
    model = build(dict(where='ram', max_gib=3.5 * entry / 2**30))
    assert train(model, EPOCHS) == pytest.approx(train(build(), EPOCHS), rel=1e-5)
    cache = model.networks['big'].cache
    assert 1 <= len(cache.memory) <= 3 and cache.left == 0
    half = build(dict(where='ram', dtype='bf16'))
    assert train(half, EPOCHS) == pytest.approx(train(build(), EPOCHS), rel=2e-2)
    assert {one.dtype for one in half.networks['big'].cache.memory.popitem()[1].values()} == {
        torch.bfloat16, torch.int64}


def test_samples_need_a_name() -> None:
    model = build(dict(where='ram'))
    with pytest.raises(UserError, match='has none of img_path, img_id, sample_idx: add one to meta_keys'):
        model(PICTURES, None, mode='loss')


@pytest.mark.parametrize('cache, teacher, message', [
    (dict(were='ram'), {}, "unknown key 'were'; did you mean where"),
    (dict(where='rom'), {}, "cache.where='rom'; did you mean ram"),
    (dict(where='disk'), {}, r"cache=dict\(where='disk', dir='FOLDER'\)"),
    (dict(where='ram', dtype='fp8'), {}, "cache.dtype='fp8'"),
    (dict(where='ram', max_gib=0), {}, 'max_gib=0 must be above 0'),
    (dict(where='ram'), dict(mode='train'), "does not go with mode='train'"),
    (dict(where='ram'), dict(call='loss'), "does not go with call='loss'")])
def test_wrong_settings_are_named(cache: dict, teacher: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(cache, **teacher)


@given(st.integers(0, 2**31), st.integers(0, 35), st.floats(-1, 1, width=32))
def test_any_changed_value_changes_the_view(seed: int, place: int, value: float) -> None:
    image = torch.rand(1, 6, 6, generator=torch.Generator().manual_seed(seed))
    changed = image.clone()
    changed.view(-1)[place] = value
    assert (view_of(changed) == view_of(image)) == torch.equal(changed, image)
    assert view_of(image.transpose(1, 2)) != view_of(image)
    assert view_of(image.clone()) == view_of(image) and isinstance(TeacherCache('t').hits, int)


class Deep(Seen):
    """Twelve layers, whose maps come out of a transpose, as those of a ViT do."""

    def __init__(self, data_preprocessor: Any = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.layers = nn.ModuleList(nn.Identity() for _ in range(12))

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = 'tensor') -> Any:
        for number, layer in enumerate(self.layers):
            layer((number + self.body(inputs)).flatten(2).transpose(1, 2))
        return super().forward(inputs, data_samples, mode)


def test_many_records_and_transposed_ones_on_disk(tmp_path: Path) -> None:
    MODELS.register_module(module=Deep, force=True)
    both = [MODELS.build(dict(
        type='mmext.Distiller', student=dict(type='mmext.Deep'), teachers=dict(big=dict(
            model=dict(type='mmext.Deep'), random=True, cache=place)),
        records=dict(s=dict(net='student', module='layers.*'), t=dict(net='big', module='layers.*')),
        losses=dict(loss_st=dict(loss=dict(type='mmext.FeatureDistillLoss'), pred='s', target='t'))))
            for place in places(tmp_path)]
    MODELS._module_dict.pop('Deep')
    both[1].load_state_dict(both[0].state_dict())
    assert train(both[1].train(), EPOCHS) == pytest.approx(train(both[0].train(), EPOCHS), rel=1e-5)
