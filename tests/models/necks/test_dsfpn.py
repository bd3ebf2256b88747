"""DS-FPN: mmdet's FPN when the blocks do nothing, blocks on every level otherwise."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.models.necks import FPN
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mmext.models.backbones.dsnet import DSBlock
from mmext.models.necks.dsfpn import DSFPN

CHANNELS = [4, 6, 8, 10]
DS = dict(num_heads=2, mlp_ratio=1)


def _maps(batch: int = 2, height: int = 33, width: int = 20) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.rand(batch, c, -(-height // 2**i), -(-width // 2**i)) for i, c in enumerate(CHANNELS)]


def _build(**options: Any) -> DSFPN:
    torch.manual_seed(0)
    options = {'num_outs': 5, 'ds_cfg': DS, **options}
    neck = DSFPN(CHANNELS, 8, **options)
    neck.init_weights()
    return neck.eval()


FPN_OPTIONS: list[dict[str, Any]] = [
    dict(num_outs=5),
    dict(num_outs=4),
    dict(num_outs=5, start_level=1, add_extra_convs='on_input'),
    dict(num_outs=5, start_level=1, add_extra_convs='on_output', relu_before_extra_convs=True),
    dict(num_outs=6, add_extra_convs='on_lateral'),
    dict(num_outs=6, add_extra_convs=True),
    dict(num_outs=2, start_level=1, end_level=2),
    dict(num_outs=5, norm_cfg=dict(type='BN'), no_norm_on_lateral=True, act_cfg=dict(type='ReLU')),
    dict(num_outs=4, upsample_cfg=dict(mode='bilinear', align_corners=False)),
]


@pytest.mark.parametrize('options', FPN_OPTIONS)
def test_with_idle_blocks_it_is_fpn(options: dict[str, Any]) -> None:
    """Blocks whose three branches add nothing."""
    torch.manual_seed(0)
    reference = FPN(CHANNELS, 8, **options).eval()
    neck = _build(**options)
    neck.load_state_dict(reference.state_dict(), strict=False)
    for block in neck.ds_blocks:
        for last in (block.pos_embed, block.conv2, block.mlp.fc2):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
    maps = _maps()
    actual, expected = neck(maps), reference(maps)
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected):
        torch.testing.assert_close(one, other)


def test_every_level_sees_the_whole_image() -> None:
    """A change in a corner of the coarsest map reaches the opposite corner of every output."""
    neck = _build()
    maps = _maps()
    changed = [*maps[:-1], maps[-1].clone()]
    changed[-1][:, :, 0, 0] += 1
    for before, after in zip(neck(maps), neck(changed)):
        assert (before - after)[..., -1, -1].abs().max() > 0


def test_a_level_receives_the_block_above() -> None:
    neck = _build(start_level=2, num_outs=2)
    maps = _maps()
    top = neck.ds_blocks[1](neck.lateral_convs[1](maps[3]))
    up = nn.functional.interpolate(top, size=maps[2].shape[2:], mode='nearest')
    level = neck.ds_blocks[0](neck.lateral_convs[0](maps[2]) + up)
    expected = neck.fpn_convs[0](level), neck.fpn_convs[1](top)
    for one, other in zip(neck(maps), expected):
        torch.testing.assert_close(one, other)


def test_global_streams_are_a_32nd_of_the_image() -> None:
    assert [block.downsample for block in _build().ds_blocks] == [8, 4, 2, 1]
    assert [block.downsample for block in _build(start_level=1).ds_blocks] == [4, 2, 1]
    given = _build(ds_cfg=dict(DS, downsample=[4, 4, 2, 2]), start_level=2)
    assert [block.downsample for block in given.ds_blocks] == [2, 2]
    shared = _build(ds_cfg=dict(DS, downsample=3, conv_ffn=True))
    assert all(isinstance(b, DSBlock) and b.downsample == 3 for b in shared.ds_blocks)


def test_every_parameter_gets_a_gradient_and_recomputation_changes_nothing() -> None:
    gradients = []
    for with_cp in (False, True):
        neck = _build(with_cp=with_cp, ds_cfg=dict(DS, attn_drop=0.)).train()
        maps = [x.requires_grad_() for x in _maps()]
        sum(x.square().mean() for x in neck(maps)).backward()
        gradients.append({name: p.grad for name, p in neck.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient is not None, name
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_norm_eval() -> None:
    neck = _build(norm_eval=True).train()
    assert neck.training
    assert not any(m.training for m in neck.modules() if isinstance(m, nn.BatchNorm2d))


def test_compiles_without_graph_break() -> None:
    neck = _build()
    torch._dynamo.reset()
    compiled = torch.compile(neck, fullgraph=True, backend='eager')
    for one, other in zip(compiled(_maps()), neck(_maps())):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg', 'mmrotate'])
def test_resolves_in_hosts(scope: str) -> None:
    cfg = dict(type='mmext.DSFPN', in_channels=CHANNELS, out_channels=8, num_outs=4, ds_cfg=DS)
    with DefaultScope.overwrite_default_scope(scope):
        assert isinstance(ROOT_MODELS.build(cfg), DSFPN)


@pytest.mark.parametrize(('options', 'message'), [
    (dict(ds_cfg=dict(heads=2)), "unknown key of ds_cfg 'heads'.*num_heads"),
    (dict(ds_cfg=dict(DS, downsample=[8, 4])), r"ds_cfg\['downsample'\] has 2 values for 4 input"),
    (dict(ds_cfg=dict(num_heads=3)), 'DSFPN, level 0: num_heads=3 does not divide the 4 channels'),
])
def test_bad_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _build(**options)


def test_bfloat16_autocast() -> None:
    neck = _build()
    expected = neck(_maps())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        actual = neck(_maps())
    for one, other in zip(actual, expected):
        assert (one.float() - other).norm() / other.norm() < 0.05


@pytest.mark.filterwarnings('ignore::DeprecationWarning', 'ignore::torch.jit.TracerWarning')
def test_exports_to_onnx_with_dynamic_batch(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip('onnxruntime')
    neck = _build()
    path = tmp_path / 'neck.onnx'
    inputs, outputs = [f'in{i}' for i in range(4)], [f'out{i}' for i in range(5)]
    torch.onnx.export(neck, (_maps(1), ), path, dynamo=False, input_names=inputs,
                      output_names=outputs,
                      dynamic_axes={name: {0: 'batch'} for name in (*inputs, *outputs)})
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    maps = _maps(3)
    exported = session.run(None, {name: x.numpy() for name, x in zip(inputs, maps)})
    for one, other in zip(exported, neck(maps)):
        torch.testing.assert_close(torch.from_numpy(one), other.detach(), rtol=1e-3, atol=1e-4)
