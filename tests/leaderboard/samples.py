"""Records as evaluations would leave them."""
from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from mmext.leaderboard.published import beside
from mmext.leaderboard.record import Picture, Record

CONFIG = 'configs/emov2/retinanet_emov2-5m_fpn_4xb4-1x_coco.py'
BOX = {'coco/bbox_mAP': 0.381, 'coco/bbox_mAP_50': 0.583, 'coco/bbox_mAP_75': 0.402}


def picture(name: str = 'a.jpg', score: float = 0.25, best: bool = False) -> Picture:
    """A small green picture."""
    pixels = np.zeros((40, 60, 3), np.uint8) + np.uint8([40, 160, 60])
    return Picture(name, score, best, cv2.imencode('.jpg', pixels)[1].tobytes())


def record(run: str = 'emov2', **changes: Any) -> Record:
    """An evaluation of a published config on COCO, unless changed."""
    content: dict[str, Any] = dict(
        run=run, dataset='COCO', metrics=BOX, config=CONFIG, config_text='model = dict()\n',
        checkpoint='work_dirs/emov2/epoch_12.pth', checkpoint_digest='ab' * 32, images=5000, seconds=123.4,
        parameters=15_000_000, flops=158_000_000_000, input_size='800 x 1280', latency_ms=31.5,
        memory_mb=2048., environment=dict(torch='2.13.0', device='a GPU'), date='2026-11-20T12:00:00Z')
    content.update(changes)
    content.setdefault('published', beside(content['config'], content['dataset'], content['metrics']))
    return Record(**content)
