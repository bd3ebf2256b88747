"""What holds for every backbone: a new one gets these tests by being in the catalogue."""
from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope
from torch import nn

from mmext.errors import UserError
from mmext.registry import MODELS
from tests.registry_wide.backbones import BACKBONES, build, each_backbone, toy_config


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg', 'mmpretrain', 'mmrotate'])
@each_backbone()
def test_resolves_in_every_host(method: str, scope: str) -> None:
    entry = next(entry for entry in BACKBONES if entry.method == method)
    if scope not in entry.hosts:
        pytest.skip(f'{entry.name} is not for {scope}')
    with DefaultScope.overwrite_default_scope(scope):
        for name in entry.names:
            backbone = ROOT_MODELS.build({**toy_config(method), 'type': f'mmext.{name}'})
            assert type(backbone) is MODELS.get(entry.name)


@pytest.mark.parametrize('size', [(64, 64), (75, 101), (96, 33)])
@each_backbone()
def test_maps_for_any_input_size(method: str, size: tuple[int, int]) -> None:
    backbone = build(method)
    maps = backbone(torch.rand(2, 3, *size))
    assert isinstance(maps, tuple) and len(maps) == len(backbone.out_indices)
    for one, channels in zip(maps, backbone.out_channels):
        assert one.shape[:2] == (2, channels)
        assert one.is_contiguous() and torch.isfinite(one).all()
    sides = [one.shape[-2] for one in maps]
    assert sides == sorted(sides, reverse=True)


@each_backbone()
def test_out_indices_choose_among_the_maps(method: str) -> None:
    everything = build(method)
    image = torch.rand(1, 3, 64, 64)
    maps = dict(zip(everything.out_indices, everything(image)))
    chosen = tuple(everything.out_indices)[-2:]
    backbone = build(method, out_indices=chosen)
    backbone.load_state_dict(everything.state_dict(), strict=False)
    for index, one in zip(chosen, backbone(image)):
        torch.testing.assert_close(one, maps[index])


@each_backbone()
def test_a_file_of_another_network_is_refused(method: str, tmp_path: Path) -> None:
    """mmengine would note that keys do not match, and train from random weights."""
    path = tmp_path / 'resnet.pth'
    torch.save({'conv1.weight': torch.zeros(64, 3, 7, 7), 'fc.bias': torch.zeros(1000)}, path)
    with pytest.raises(UserError, match='no weights of|another variant'):
        build(method, init_cfg=dict(type='Pretrained', checkpoint=str(path))).init_weights()


@each_backbone()
def test_an_index_out_of_range_is_named(method: str) -> None:
    with pytest.raises(ValueError, match='out_indices'):
        build(method, out_indices=(0, 99))


@each_backbone()
def test_every_parameter_gets_a_gradient(method: str) -> None:
    """So DDP trains it with find_unused_parameters=False."""
    backbone = build(method).train()
    sum(one.square().mean() for one in backbone(torch.rand(2, 3, 64, 64))).backward()
    without = [name for name, p in backbone.named_parameters() if p.grad is None]
    assert not without


@each_backbone()
def test_recomputation_changes_nothing(method: str) -> None:
    image = torch.rand(2, 3, 64, 64)
    gradients = []
    for with_cp in (False, True):
        backbone = build(method, with_cp=with_cp).train()
        sum(one.square().mean() for one in backbone(image)).backward()
        gradients.append({name: p.grad for name, p in backbone.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


@each_backbone()
def test_frozen_stages_stay_as_they_are(method: str) -> None:
    backbone = build(method, frozen_stages=1).train()
    frozen = {name for name, p in backbone.named_parameters() if not p.requires_grad}
    assert frozen and len(frozen) < len(list(backbone.parameters()))
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], lr=0.1)
    sum(one.square().mean() for one in backbone(torch.rand(2, 3, 64, 64))).backward()
    optimizer.step()
    after = backbone.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in frozen)
    # Running statistics of norms in frozen stages stand still too.
    prefixes = {name.rsplit('.', 1)[0] for name in frozen}
    for name, value in before.items():
        if 'running_' in name and name.rsplit('.', 1)[0] in prefixes:
            assert torch.equal(after[name], value), name
    assert any(not torch.equal(after[name], before[name]) for name in before)


@each_backbone()
def test_norm_eval_keeps_statistics(method: str) -> None:
    backbone = build(method, norm_eval=True).train()
    norms = [m for m in backbone.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        pytest.skip('no batch norm')
    assert not any(norm.training for norm in norms)
    assert any(module.training for module in backbone.modules())


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@each_backbone()
def test_pretrained_weights_load(method: str, suffix: str, tmp_path: Path) -> None:
    """Files as the authors publish them: a flat state dict of tensors."""
    from safetensors.torch import save_file

    from mmext import hosts
    hosts.repair()  # safetensors files are read by mmext's loader
    source = build(method, seed=1)
    path = tmp_path / f'weights{suffix}'
    state = {key: value.contiguous() for key, value in source.state_dict().items()}
    save_file(state, path) if suffix == '.safetensors' else torch.save(state, path)
    target = build(method, seed=2, init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    torch.manual_seed(0)
    image = torch.rand(1, 3, 64, 64)
    for norm in (m for net in (source, target) for m in net.modules()
                 if isinstance(m, nn.BatchNorm2d)):
        norm.reset_running_stats()  # build() draws them after loading
    for ours, theirs in zip(target(image), source(image)):
        torch.testing.assert_close(ours, theirs)


@each_backbone()
def test_copies_and_pickles(method: str) -> None:
    backbone = build(method)
    image = torch.rand(1, 3, 64, 64)
    expected = backbone(image)
    for twin in (copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))):
        for one, other in zip(twin(image), expected):
            assert torch.equal(one, other)


@each_backbone()
def test_compiles_without_graph_break(method: str) -> None:
    backbone = build(method)
    image = torch.rand(1, 3, 64, 96)
    torch._dynamo.reset()
    compiled = torch.compile(backbone, fullgraph=True, backend='eager')
    for one, other in zip(compiled(image), backbone(image)):
        torch.testing.assert_close(one, other)


@each_backbone()
def test_bfloat16_autocast(method: str) -> None:
    backbone = build(method).train()
    image = torch.rand(2, 3, 64, 64)
    expected = backbone(image)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        maps = backbone(image)
    sum(one.float().square().mean() for one in maps).backward()
    for one, other in zip(maps, expected):
        assert torch.isfinite(one).all()
        error = (one.float() - other).norm() / other.norm()
        assert error < 0.1, f'relative error {error:.3f} in bfloat16'
    assert all(torch.isfinite(p.grad).all() for p in backbone.parameters())


@pytest.mark.filterwarnings('ignore::DeprecationWarning', 'ignore::torch.jit.TracerWarning')
@each_backbone()
def test_exports_to_onnx_with_dynamic_batch(method: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip('onnxruntime')
    backbone = build(method)
    path = tmp_path / 'backbone.onnx'
    names = [f'map{i}' for i in backbone.out_indices]
    torch.onnx.export(
        backbone, (torch.rand(1, 3, 64, 96), ), path, dynamo=False, input_names=['image'],
        output_names=names, dynamic_axes={name: {0: 'batch'} for name in ('image', *names)})
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    for batch in (1, 3):
        image = torch.rand(batch, 3, 64, 96)
        for one, other in zip(session.run(None, {'image': image.numpy()}), backbone(image)):
            torch.testing.assert_close(torch.from_numpy(one), other.detach(), rtol=1e-3, atol=1e-4)
