"""The networks that Guidance is for, and its loss on whole models."""
from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.registry import DefaultScope
from torch.nn.utils.rnn import pack_padded_sequence

from mmext.engine.meta import on_meta
from mmext.errors import UserError
from mmext.models.distillers.guidance.fully_connected import FullyConnectedNet
from mmext.models.distillers.guidance.plain_resnet import PlainResNet
from mmext.models.distillers.losses.guidance import GuidanceLoss, cka, even_mapping
from mmext.models.distillers.recorder import Record, Recorder
from mmext.registry import MODELS


def count(module: torch.nn.Module) -> int:
    return sum(one.numel() for one in module.parameters())


def test_the_published_networks() -> None:
    with on_meta():
        deep, wide, plain = FullyConnectedNet('deep'), FullyConnectedNet('wide'), PlainResNet(50)
    linear = [layer[0] for layer in deep.layers]
    assert [one.out_features for one in linear] == [2048, *[1024] * 47]
    assert linear[0].in_features == 150528 and deep.layers[0][3].p == 0.1
    assert [layer[0].out_features for layer in wide.layers] == [8192] * 3 and wide.layers[0][3].p == 0
    # ResNet-50 (23,508,032 without its classifier) less four shortcuts: 1x1 convolutions with norms.
    shortcuts = sum(a * b + 2 * b for a, b in ((64, 256), (256, 512), (512, 1024), (1024, 2048)))
    assert count(plain) == 23_508_032 - shortcuts


def test_no_signal_goes_around_a_block() -> None:
    backbone = PlainResNet(50, base_channels=8, stem_channels=8)
    backbone.eval()
    image = torch.rand(1, 3, 32, 32)
    assert backbone(image)[0].any()
    backbone.layer3[2].norm3.weight.data.zero_()
    backbone.layer3[2].norm3.bias.data.zero_()
    assert not backbone(image)[0].any(), 'the image still comes through'


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="arch='dep'; did you mean deep"):
        FullyConnectedNet('dep')
    with pytest.raises(ValueError, match='for images of 16 x 16, not 16 x 20: resize them'):
        FullyConnectedNet([4], image_size=16)(torch.rand(2, 3, 16, 20))


def guided(**loss: Any) -> Any:
    torch.manual_seed(0)
    types = ['Conv2d', 'Linear', 'AdaptiveAvgPool2d']
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(dict(
            type='mmext.Distiller',
            student=dict(
                type='ImageClassifier', backbone=dict(type='mmext.FullyConnectedNet', arch=[16] * 6,
                                                      image_size=16),
                head=dict(type='LinearClsHead', num_classes=5, in_channels=16)),
            teachers=dict(guide=dict(random=True, early_stop=False, model=dict(
                type='ImageClassifier', backbone=dict(type='mmext.CIFARResNet', depths=[1, 1, 1]),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type='LinearClsHead', num_classes=5, in_channels=64)))),
            records=dict(own=dict(net='student', types=types), guiding=dict(net='guide', types=types)),
            losses=dict(loss_guidance=dict(loss=dict(type='mmext.GuidanceLoss', **loss), pred='own',
                                           target='guiding'))))


def step(model: Any, images: torch.Tensor) -> dict[str, torch.Tensor]:
    from mmpretrain.structures import DataSample
    return model(images, [DataSample().set_gt_label(index % 5) for index in range(len(images))], mode='loss')


@pytest.mark.parametrize('loss', [dict(), dict(metric='rsa'), dict(mapping={0: 3, 4: 0, 5: 3})])
def test_a_step_brings_the_layers_nearer(loss: dict[str, Any]) -> None:
    model = guided(**loss).train()
    images = torch.rand(16, 3, 16, 16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    values = []
    for _ in range(8):
        value = step(model, images)['loss_guidance']
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < values[0] and all(value > 0 for value in values)


def test_it_is_the_definition_on_every_mapped_layer() -> None:
    model = guided().train()
    images = torch.rand(8, 3, 16, 16)
    kept: dict[str, list[torch.Tensor]] = {'own': [], 'guiding': []}
    for name, net in (('own', model.student), ('guiding', model.networks['guide'].module)):
        for module in net.modules():
            if type(module).__name__ in ('Conv2d', 'Linear', 'AdaptiveAvgPool2d'):
                module.register_forward_hook(
                    lambda _, args, output, name=name: kept[name].append(output.detach()))
    value = step(model, images)['loss_guidance']
    own, guiding = kept['own'][:-1], kept['guiding'][:-1]
    expected = sum(1 - cka(own[target], guiding[guide])
                   for target, guide in even_mapping(len(guiding), len(own)).items())
    torch.testing.assert_close(value, expected)


def test_a_mapping_to_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match='mapping 9 -> 0: there are 6 layers of the network'):
        step(guided(mapping={9: 0}).train(), torch.rand(4, 3, 16, 16))
    with pytest.raises(UserError, match='did you mean cka'):
        GuidanceLoss('ckka')


def test_recurrent_layers_are_recorded_without_their_states() -> None:
    class Packed(torch.nn.LSTM):
        def forward(self, x: torch.Tensor) -> Any:
            return super().forward(pack_padded_sequence(x, [4, 2], batch_first=True))

    networks = [torch.nn.LSTM(3, 5, batch_first=True), Packed(3, 5, batch_first=True)]
    for network in networks:
        recorder = Recorder(network, [Record('own', 'student', types=(type(network).__name__, ))])
        with recorder.recording(network) as records:
            network(torch.rand(2, 4, 3))
        assert [one.shape for one in records['own']] == [(2, 4, 5)]  # neither h nor c


def test_the_last_record_is_left_out_even_if_it_is_no_layer() -> None:
    layers = [torch.rand(4, 3), torch.rand(4, 2), torch.rand(3)]  # the last has no axis of the batch
    assert sorted(GuidanceLoss().dissimilarities(layers, layers, 4)) == [0, 1]
