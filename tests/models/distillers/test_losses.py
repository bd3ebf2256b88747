"""Each generic loss against its formula, written out."""
from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from mmext.errors import UserError
from mmext.models.distillers.diswot import semantic_score
from mmext.models.distillers.losses.features import ChannelWiseDistillLoss, MaskedGenerativeLoss, PKDLoss
from mmext.models.distillers.losses.guidance import GuidanceLoss, cka, even_mapping
from mmext.models.distillers.losses.logits import DecoupledKDLoss, KLDistillLoss
from mmext.models.distillers.losses.relations import InterChannelCorrelationLoss, RelationalKDLoss
from mmext.registry import MODELS


@pytest.fixture
def logits() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return tuple(torch.randn(5, 4, generator=draw, dtype=torch.float64) for _ in range(2))


@pytest.fixture
def maps() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return tuple(torch.randn(3, 4, 5, 6, generator=draw, dtype=torch.float64) for _ in range(2))


def _kl(target: Tensor, pred: Tensor) -> Tensor:
    return (target * (target / pred).log()).sum()


def test_kl(logits: tuple[Tensor, Tensor]) -> None:
    student, teacher = logits
    expected = sum(_kl((t / 2).softmax(0), (s / 2).softmax(0)) for s, t in zip(student, teacher)) / 5 * 4
    assert torch.allclose(KLDistillLoss(tau=2.)(student, teacher), expected)
    p, q = teacher.sigmoid(), student.sigmoid()
    both = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()
    assert torch.allclose(KLDistillLoss(use_sigmoid=True)(student, teacher), both)


def test_dkd_with_the_weights_of_plain_kd_is_plain_kd(logits: tuple[Tensor, Tensor]) -> None:
    """KD = TCKD + (1 - p_t of the teacher) NCKD, sample by sample (equation 6)."""
    student, teacher = logits
    for number, label in enumerate([0, 3, 1, 1, 2]):
        one = slice(number, number + 1)
        share = float(1 - teacher[one].softmax(1)[0, label])
        samples = dict(data_samples=[SimpleNamespace(gt_label=torch.tensor([label]))])
        found = DecoupledKDLoss(tau=1., alpha=1., beta=share)(student[one], teacher[one], samples)
        assert torch.allclose(found, KLDistillLoss()(student[one], teacher[one]))


def test_cwd(maps: tuple[Tensor, Tensor]) -> None:
    student, teacher = maps
    expected = sum(_kl((teacher[n, c].flatten() / 4).softmax(0), (student[n, c].flatten() / 4).softmax(0))
                   for n in range(3) for c in range(4)) * 16 / 12
    assert torch.allclose(ChannelWiseDistillLoss(tau=4.)(student, teacher), expected)


def test_pkd_is_one_minus_pearson(maps: tuple[Tensor, Tensor]) -> None:
    student, teacher = maps
    both = [torch.stack([student[:, c].flatten(), teacher[:, c].flatten()]) for c in range(4)]
    pearson = torch.stack([torch.corrcoef(one)[0, 1] for one in both]).mean()
    assert torch.allclose(PKDLoss(eps=0.)(student, teacher), 1 - pearson)


def test_masked_generative(maps: tuple[Tensor, Tensor]) -> None:
    student, teacher = maps
    loss = MaskedGenerativeLoss(4, mask_ratio=0.).double()
    expected = (loss.generation(student) - teacher).square().sum() / 3
    assert torch.allclose(loss(student, teacher), expected)
    seen = []
    masked = MaskedGenerativeLoss(4, mask_ratio=0.5).double()
    masked.generation.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    masked(student, teacher)
    hidden = (seen[0] == 0).all(1)
    assert 0.2 < hidden.double().mean() < 0.8
    assert torch.equal(seen[0], student * ~hidden[:, None])


def test_relational(logits: tuple[Tensor, Tensor]) -> None:
    def huber(value: Tensor) -> Tensor:
        return torch.where(value.abs() < 1, value**2 / 2, value.abs() - 0.5)

    def distances(x: Tensor) -> Tensor:
        each = torch.stack([(a - b).norm() for a in x for b in x])
        return each / each[each > 0].mean()

    def angles(x: Tensor) -> Tensor:
        rows = list(x)
        unit = [[(a - b) / (a - b).norm().clamp_min(1e-12) for a in rows] for b in rows]
        return torch.stack([u @ v for row in unit for u in row for v in row])

    for weights, measure in (((1., 0.), distances), ((0., 1.), angles)):
        expected = huber(measure(logits[0]) - measure(logits[1])).mean()
        assert torch.allclose(RelationalKDLoss(*weights)(*logits), expected)
    student = logits[0].clone().requires_grad_()
    RelationalKDLoss()(student, logits[1]).backward()
    assert student.grad.isfinite().all()


@pytest.mark.parametrize('size', [1., 3e-7])  # the second: rows that F.normalize does not bring to 1
def test_the_closed_form_of_single_positions_is_the_whole_one(logits: tuple[Tensor, Tensor],
                                                              size: float) -> None:
    student, teacher = (one * size for one in logits)
    student[:, 0] = 0
    whole = [torch.nn.functional.normalize(x[:, :, None] @ x[:, None], dim=-1) for x in (student, teacher)]
    expected = (whole[0] - whole[1]).square().sum() / student.numel()
    assert torch.allclose(InterChannelCorrelationLoss()(student[..., None], teacher[..., None]), expected)
    assert torch.allclose(semantic_score(student, teacher), -expected)


def test_cka_does_not_see_scale_rotation_or_shift(logits: tuple[Tensor, Tensor]) -> None:
    one, other = logits
    turned = one @ torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64))[0] * 3 + 1
    assert torch.allclose(cka(one, turned), torch.ones((), dtype=torch.float64))
    assert torch.allclose(cka(one, other), cka(turned, other))


def test_guidance_maps_layers_evenly() -> None:
    assert even_mapping(4, 6) == {0: 0, 2: 1, 3: 2, 5: 3}
    assert even_mapping(1, 3) == {0: 0}
    assert set(even_mapping(9, 2)) == {0, 1} and even_mapping(9, 2)[1] == 8
    with pytest.raises(Exception, match="metric='ckaa'; did you mean cka"):
        GuidanceLoss(metric='ckaa')


def test_dkd_refuses_mixed_labels(logits: tuple[Tensor, Tensor]) -> None:
    """Mixup leaves the first image's label beside the mixed scores."""
    count, classes = logits[0].shape
    samples = [DataSample().set_gt_label(0).set_gt_score(torch.full((classes, ), 1 / classes))
               for _ in range(count)]
    with pytest.raises(UserError, match='mixed labels'):
        MODELS.build(dict(type='mmext.DecoupledKDLoss'))(*logits, context=dict(data_samples=samples))
