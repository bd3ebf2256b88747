"""EMOv2 beyond parity: sizes, options, windows, errors."""
from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmext.models.backbones.emov2 import ARCHITECTURES, EMOv2, SpanningAttention
from mmext.models.backbones.emov2.block import _from_windows, _to_windows

# Published: whole classifier, backbone alone.
PARAMETERS = {
    '1M': (1_460_844, 1_279_484),
    '2M': (2_384_312, 2_182_912),
    '5M': (5_126_440, 4_836_864),
    '20M': (20_195_208, 19_745_312),
    '50M': (49_815_560, 49_301_536),
    'emo1-1M': (1_454_316, None),
    'emo1-2M': (2_374_840, None),
    'emo1-5M': (5_110_312, None),
    'emo1-20M': (20_170_632, None),
}


def _count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize('arch', ARCHITECTURES)
def test_published_parameter_counts(arch: str) -> None:
    classifier, backbone = PARAMETERS[arch]
    with torch.device('meta'):
        assert _count(EMOv2(arch, num_classes=1000)) == classifier
        if backbone:
            assert _count(EMOv2(arch)) == backbone


def test_published_drop_path_rises_linearly() -> None:
    model = EMOv2('5M')
    rates = [block.drop_path.drop_prob for i in range(1, 5) for block in getattr(model, f'stage{i}')]
    assert rates[0] == 0 and rates[-1] == pytest.approx(0.05)
    steps = [b - a for a, b in pairwise(rates)]
    assert steps == pytest.approx([steps[0]] * len(steps))


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 3), cols=st.integers(1, 3), high=st.integers(1, 3),
       wide=st.integers(1, 3), heads=st.integers(1, 2), span=st.sampled_from(['close', 'remote']))
def test_windows_partition_the_map(rows, cols, high, wide, heads, span) -> None:
    height, width = rows * high, cols * wide
    x = torch.arange(2 * 2 * heads * height * width).view(2, 2 * heads, height, width)
    windows = _to_windows(x, heads, rows, cols, span)
    assert windows.shape == (2, rows, cols, heads, high, wide, 2)
    assert torch.equal(_from_windows(windows, span), x)
    first = windows[0, 0, 0, 0, :, :, 0]
    expected = x[0, 0, :high, :wide] if span == 'close' else x[0, 0, ::rows, ::cols]
    assert torch.equal(first, expected)


def test_a_map_of_one_window_is_attended_to_once() -> None:
    """Remote and close are then the same; both spans give twice one of them."""
    torch.manual_seed(0)
    both = SpanningAttention(16, 32, head_dim=8, window_size=6)
    close = SpanningAttention(16, 32, head_dim=8, window_size=6, spans=('close', ))
    close.load_state_dict(both.state_dict())
    x = torch.rand(2, 16, 6, 6)
    torch.testing.assert_close(both(x), 2 * close(x))


def test_window_of_the_whole_map_equals_its_size() -> None:
    torch.manual_seed(0)
    sized = SpanningAttention(16, 32, head_dim=8, window_size=6)
    whole = SpanningAttention(16, 32, head_dim=8, window_size=0)
    whole.load_state_dict(sized.state_dict())
    x = torch.rand(1, 16, 6, 6)
    torch.testing.assert_close(whole(x), sized(x))


@pytest.mark.parametrize('window_size', [7, (8, 8, 4, 2), 0])
def test_weights_load_with_any_window(window_size) -> None:
    state = EMOv2('1M').state_dict()
    model = EMOv2('1M', window_size=window_size)
    model.load_state_dict(state, strict=True)
    assert all(torch.isfinite(x).all() for x in model.eval()(torch.rand(1, 3, 64, 64)))


@pytest.mark.parametrize(('options', 'message'), [
    (dict(arch='3M'), r"unknown architecture '3M', expected one of 1M, 2M"),
    (dict(arch=dict(depths=(1, 1, 1, 1))), r"arch lacks 'embed_dims'"),
    (dict(arch=dict(ARCHITECTURES['1M'], depth=(1, ))), r"unknown key of arch 'depth'.*depths"),
    (dict(arch=dict(ARCHITECTURES['1M'], embed_dims=(16, 24, 32))), r"arch\['embed_dims'\] has 3"),
    (dict(arch=dict(ARCHITECTURES['1M'], head_dims=(16, 16, 24, 20))), r'80 channels.*heads of 24'),
    (dict(arch=dict(ARCHITECTURES['1M'], operators=('conv', 'conv', 'hybrib', 'conv'))),
     r"unknown operator 'hybrib'.*hybrid"),
    (dict(arch=dict(ARCHITECTURES['1M'], norm_layers=('bn', 'BN', 'BN', 'BN'))), r"unknown norm"),
    (dict(out_indices=(5, )), r'out_indices=\(5,\): expected one or more of 0'),
    (dict(frozen_stages=7), r'frozen_stages=7: expected -1 to 4'),
    (dict(window_size=(7, 7)), r'window_size has 2 values for 4 stages'),
])
def test_bad_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EMOv2(**options)


def test_classifier_needs_classes() -> None:
    x = torch.rand(2, 3, 64, 64)
    assert EMOv2('1M', num_classes=7).eval().classify(x).shape == (2, 7)
    with pytest.raises(AttributeError):
        EMOv2('1M').classify(x)


def test_operators_are_summed() -> None:
    arch = dict(ARCHITECTURES['1M'], operators=('conv', 'conv', ('conv', 'close'), 'hybrid'))
    model = EMOv2(arch, out_indices=(3, ))
    assert len(model.stage3[1].eops) == 2
    assert model(torch.rand(1, 3, 64, 64))[0].shape == (1, 80, 4, 4)
