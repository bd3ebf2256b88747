"""What LMSeg is for: a label space that it never saw, from its names alone."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope

from mmext.datasets import toy
from mmext.models.segmentors.lmseg import read_taxonomy
from mmext.registry import DATASETS, MODELS

CONFIG = Path(__file__).parents[3] / 'configs/lmseg/lmseg_clip-resnet_toy.py'
IMAGES, SIZE, STEPS = 160, 64, 150


def _mean_iou(model: Any, batch: dict, taxonomy: str, classes: int) -> float:
    """In percent, over the classes that the labels have."""
    for sample in batch['data_samples']:
        sample.set_metainfo(dict(taxonomy=taxonomy))
    with torch.no_grad():
        samples = model.test_step(batch)
    found = torch.stack([one.pred_sem_seg.data[0] for one in samples]).numpy()
    truth = torch.stack([one.gt_sem_seg.data[0] for one in samples]).numpy()
    found = np.where(truth == 255, 255, found)
    values = [((found == label) & (truth == label)).sum() / ((found == label) | (truth == label)).sum()
              for label in range(classes) if (truth == label).any()]
    return 100 * float(np.mean(values))


@pytest.mark.slow
def test_a_third_label_space_from_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained on objects and on grounds, never on both at once; asked for all of them in another order.

    Chance is the same model asked with the names rotated by one, so that every name is wrong.
    """
    toy.make(tmp_path, num_train=IMAGES, num_val=24, size=SIZE, seed=0)
    monkeypatch.setenv('MMEXT_TOY_DATA', str(tmp_path))
    cfg = Config.fromfile(CONFIG)
    cfg.model.data_preprocessor.size = (SIZE, SIZE)
    torch.manual_seed(0)
    np.random.seed(0)
    half = IMAGES // 2
    with DefaultScope.overwrite_default_scope('mmseg'):
        model: Any = MODELS.build(cfg.model)
        model.init_weights()
        training = [DATASETS.build(dict(one.dataset, indices=list(range(start, start + half))))
                    for one, start in zip(cfg.train_dataloader.dataset.datasets, (0, half))]
        scenes = DATASETS.build(dict(cfg.val_dataloader.dataset.datasets[2].dataset, indices=list(range(24))))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=STEPS)
    for step in range(STEPS):
        name, dataset = (('objects', training[0]), ('grounds', training[1]))[step % 2]
        batch = pseudo_collate([dataset[int(one)] for one in np.random.choice(half, 8, replace=False)])
        for sample in batch['data_samples']:
            sample.set_metainfo(dict(taxonomy=name))
        data = model.train().data_preprocessor(batch, True)
        losses = model.loss(data['inputs'], data['data_samples'])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.)
        optimizer.step()
        schedule.step()
    model.eval()
    names = list(cfg.scenes)
    model.guide.taxonomies['wrong'] = read_taxonomy('wrong', names[1:] + names[:1])
    batch = pseudo_collate([scenes[index] for index in range(24)])
    named, wrong = (_mean_iou(model, batch, name, len(names)) for name in ('scenes', 'wrong'))
    print(f'mIoU of the unseen label space {named:.1f}, with wrong names {wrong:.1f}')
    assert named > wrong + 15
