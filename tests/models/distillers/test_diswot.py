"""DisWOT's score of whole networks: the closed form is the backward form, and weights follow the seed."""
from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.registry import DefaultScope
from torch.nn import functional as F

from mmext.errors import UserError
from mmext.models.distillers.diswot import DisWOTScore, semantic_score
from mmext.models.distillers.diswot.score import draw_gaussian, respond
from mmext.models.distillers.losses.relations import BatchSimilarityLoss
from mmext.registry import MODELS, TASK_UTILS

LAYERS = 'backbone', 'head.fc'


def classifier(depths: tuple[int, ...] = (1, 1, 1), width: int = 4, classes: int = 5) -> Any:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(dict(
            type='mmpretrain.ImageClassifier',
            backbone=dict(type='mmext.CIFARResNet', depths=depths, base_channels=width),
            neck=dict(type='mmpretrain.GlobalAveragePooling'),
            head=dict(type='mmpretrain.LinearClsHead', num_classes=classes,
                      in_channels=width * 2**(len(depths) - 1))))


def batch(classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return (torch.randn(6, 3, 16, 16, generator=generator),
            torch.randint(0, classes, (6, ), generator=generator))


def backward_form(network: Any, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    F.cross_entropy(network(images, None, mode='tensor'), labels).backward()
    return network.head.fc.weight.grad


def straightforward(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """The definition: C x C matrices of every class."""
    matrices = [F.normalize(one[:, :, None] @ one[:, None, :], dim=-1) for one in (student, teacher)]
    return -(matrices[0] - matrices[1]).square().sum() / student.numel()


def test_the_closed_form_is_the_backward_form() -> None:
    torch.manual_seed(0)
    images, labels = batch()
    gradients, closed = [], []
    for depths in ((1, 1, 1), (2, 1, 3)):
        network = classifier(depths).train()
        draw_gaussian(network)
        with torch.no_grad():
            closed.append(respond('student', network, LAYERS, images, labels).gradient)
        gradients.append(backward_form(network, images, labels))
    for one, other in zip(closed, gradients):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(semantic_score(*closed), straightforward(*gradients))


def prepared(**settings: Any) -> DisWOTScore:
    score = TASK_UTILS.build(dict(type='mmext.DisWOTScore', **settings))
    score.prepare(lambda: classifier((2, 2, 2)), *batch(), seed=1)
    return score


def test_scores_follow_the_seed_alone() -> None:
    score = prepared()
    first = score(classifier)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert score(lambda: classifier((1, 2, 1))) != first
    assert score(classifier) == first
    assert torch.equal(torch.get_rng_state(), state), 'the run around it would go on differently'
    assert first['diswot'] == pytest.approx(first['semantic'] + first['relation'])
    assert max(first.values()) < 0
    images, labels = batch()
    other = DisWOTScore()
    other.prepare(lambda: classifier((2, 2, 2)), images, labels, seed=2)
    assert other(classifier) != first


def test_draws_are_averaged() -> None:
    single = [DisWOTScore() for _ in range(2)]
    for seed, score in enumerate(single):
        score.prepare(classifier, *batch(), seed=seed)
    both = DisWOTScore(inits=2)
    both.prepare(classifier, *batch(), seed=0)
    mean = sum(score(classifier)['diswot'] for score in single) / 2
    assert both(classifier)['diswot'] == pytest.approx(mean)


def test_the_authors_scripts_compare_channels_of_the_first_image() -> None:
    score = prepared(relation='first_image', init='own')
    with torch.random.fork_rng(), torch.no_grad():
        maps = []
        for seed, depths in ((1, (1, 1, 1)), (1 + 100_000, (2, 2, 2))):
            torch.manual_seed(seed)
            network = classifier(depths).train()
            network.init_weights()
            maps.append(network.backbone(batch()[0])[-1][0])
    assert score(classifier)['relation'] == pytest.approx(-float(BatchSimilarityLoss()(*maps)))
    with pytest.raises(UserError, match='maps of as many channels: the student'):
        score(lambda: classifier(width=8))


def test_other_widths_compare_the_classes() -> None:
    found = prepared()(lambda: classifier(width=8))
    assert found['semantic'] < 0


@pytest.mark.parametrize('settings, message', [
    (dict(relation='bach'), 'did you mean batch'), (dict(init='gausian'), 'did you mean gaussian'),
    (dict(inits=0), 'at least 1'), (dict(maps='backbon'), "no module 'backbon'; did you mean backbone"),
    (dict(classifier='head'), 'is a LinearClsHead; DisWOT needs the gradient of a Linear'),
    (dict(teacher_classifier='head.fcs'), "teacher .* no module 'head.fcs'; did you mean head.fc")])
def test_wrong_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        prepared(**settings)(classifier)


def test_other_classes_are_refused() -> None:
    with pytest.raises(UserError, match='the student has 7 classes, the teacher 5'):
        prepared()(lambda: classifier(classes=7))
    with pytest.raises(UserError, match='the student has 2 classes, but the batch has the label'):
        prepared()(lambda: classifier(classes=2))


def test_published_sizes_of_the_cifar_networks() -> None:
    from mmext.models.backbones.cifar_resnet import CIFARResNet
    # He et al., table 6: 0.27M, 0.85M and 1.7M parameters with the classifier of 10 classes (650).
    for blocks, millions in ((3, 0.27), (9, 0.85), (18, 1.73)):
        backbone = CIFARResNet((blocks, ) * 3)
        count = sum(one.numel() for one in backbone.parameters()) + 650
        assert count / 1e6 == pytest.approx(millions, abs=0.006)
    with pytest.raises(ValueError, match=r'depths=\(3, 0, 3\)'):
        CIFARResNet((3, 0, 3))


def test_networks_of_nas_bench_201() -> None:
    # The benchmark's own figures with CIFAR-10's classifier (650): 1.53M parameters and 220.12M multiply-adds
    # (norms not counted) where every edge is a 3x3 convolution, 0.07M and 7.78M where every edge is nothing.
    from mmext.engine.student_search.candidate import cost_of
    from mmext.models.backbones.nas_bench_201 import NASBench201Net

    class Whole(torch.nn.Module):
        def __init__(self, operation: str) -> None:
            super().__init__()
            self.backbone, self.fc = NASBench201Net([operation] * 6), torch.nn.Linear(64, 10)

        def forward(self, inputs: Any, data_samples: Any = None, mode: str = 'tensor') -> Any:
            return self.fc(self.backbone(inputs)[0].mean((2, 3)))

    for operation, params, flops in (('nor_conv_3x3', 1.531546, 220.12), ('none', 0.073306, 7.78)):
        found = cost_of(lambda operation=operation: Whole(operation), (3, 32, 32))
        assert found[0] / 1e6 == pytest.approx(params, abs=1e-6)
        assert found[1] / 1e6 == pytest.approx(flops, rel=0.01)
    image = torch.rand(2, 3, 32, 32)
    everything = NASBench201Net(['skip_connect', 'nor_conv_1x1', 'avg_pool_3x3', 'none', 'nor_conv_3x3',
                                 'skip_connect'], channels=4, repeats=1)
    assert everything(image)[0].shape == (2, 16, 8, 8)
    with pytest.raises(ValueError, match="no operation 'skip_conect'; did you mean skip_connect"):
        NASBench201Net(['skip_conect'] * 6)
    with pytest.raises(ValueError, match='cell has 5 operations, expected 6'):
        NASBench201Net(['none'] * 5)
