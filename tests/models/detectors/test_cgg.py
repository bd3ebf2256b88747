"""CGG through its toy config: losses, any classes, captions, and errors."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from mmext.errors import UserError
from mmext.models.losses.grounding_loss import GroundingLoss
from mmext.registry import MODELS

CONFIG = Path(__file__).parents[3] / 'configs/cgg/cgg_r18_toy.py'


@pytest.fixture(scope='module')
def model() -> Any:
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        built = MODELS.build(Config.fromfile(CONFIG).model)
    built.init_weights()
    return built


def _samples() -> list[DetDataSample]:
    samples = []
    for nouns in ([11, 12], []):
        sample = DetDataSample(metainfo=dict(
            img_shape=(64, 64), ori_shape=(64, 64), batch_input_shape=(64, 64), scale_factor=(1., 1.),
            caption_ids=[1, 7, 8, 2], noun_ids=nouns))
        masks = torch.zeros(2, 64, 64, dtype=torch.uint8)
        masks[0, :20, :20], masks[1, 30:50, 30:60] = 1, 1
        sample.gt_instances = InstanceData(labels=torch.tensor([0, 2]),
                                           masks=BitmapMasks(masks.numpy(), 64, 64))
        samples.append(sample)
    return samples


def test_every_parameter_learns(model: Any) -> None:
    model.train()
    losses = model.loss(torch.rand(2, 3, 64, 64), _samples())
    assert {'loss_cls', 'loss_mask', 'loss_dice', 'loss_grounding', 'loss_caption'} <= set(losses)
    sum(value.sum() for value in losses.values()).backward()
    assert [name for name, one in model.named_parameters()
            if one.requires_grad and (one.grad is None or not one.grad.isfinite().all())] == []


def test_no_caption_is_one_clear_error(model: Any) -> None:
    samples = _samples()
    del samples[1].noun_ids
    with pytest.raises(UserError, match=r"no 'noun_ids'.*LoadCaption"):
        model.loss(torch.rand(2, 3, 64, 64), samples)


@torch.no_grad()
def test_any_classes(model: Any) -> None:
    model.eval()
    sample = model.predict(torch.rand(1, 3, 64, 64), _samples()[:1])[0]
    assert set(sample.base_instances.labels.tolist()) <= {0, 1, 4}
    assert set(sample.novel_instances.labels.tolist()) <= {2, 3}
    assert isinstance(sample.caption, str)
    model.set_classes(['red disc', 'star'])
    found = model.predict(torch.rand(1, 3, 64, 64), _samples()[:1])[0].pred_instances
    assert set(found.labels.tolist()) <= {0, 1}
    with pytest.raises(UserError, match="no word 'elephant'"):
        model.set_classes(['elephant'])
    with pytest.raises(UserError, match='empty list'):
        model.set_classes([])
    with pytest.raises(UserError, match='more than once'):
        model.set_classes(['star', 'star'])


def test_a_checkpoint_of_other_names(tmp_path: Path) -> None:
    """Embeddings follow the config's names; where the words are gone, the checkpoint's stay."""
    cfg = Config.fromfile(CONFIG).model
    with DefaultScope.overwrite_default_scope('mmdet'):
        first = MODELS.build(cfg)
        first.init_weights()
        cfg.panoptic_head.classes = [*reversed(cfg.panoptic_head.classes), 'red disc']
        other = MODELS.build(cfg)
    state = first.state_dict()
    names = list(state)
    other.load_state_dict(state, strict=True)
    head = other.panoptic_head
    torch.testing.assert_close(head.class_embeddings[:5], first.panoptic_head.class_embeddings.flip(0))
    assert bool(head.class_embeddings[5].any()) and list(state) == names
    head.language_cfg['path'], head._language = str(tmp_path / 'gone.safetensors'), None
    first.panoptic_head.language_cfg['path'], first.panoptic_head._language = 'gone.safetensors', None
    first.load_state_dict(state, strict=True)
    assert torch.equal(first.panoptic_head.class_embeddings, state['panoptic_head.class_embeddings'])
    with pytest.raises(RuntimeError, match='class_embeddings'):
        other.load_state_dict(state, strict=True)


def test_captions_without_a_noun_may_be_left_out() -> None:
    torch.manual_seed(0)
    queries, nouns = torch.randn(1, 3, 5, 8), torch.randn(3, 4, 8)
    mask = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]])
    official, ours = (GroundingLoss(skip_empty=skip)(queries, nouns, mask) for skip in (False, True))
    assert official > 30
    assert ours < 5
    leaf = queries.clone().requires_grad_()
    GroundingLoss(skip_empty=True)(leaf, nouns, mask).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()
    assert GroundingLoss(skip_empty=True)(queries, nouns, torch.zeros_like(mask)).item() == 0
