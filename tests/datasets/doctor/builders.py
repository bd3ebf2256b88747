"""Small data sets in the four formats, whole until a test breaks them."""
from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmext.datasets.doctor import DatasetReport, examine_config

COCO: dict[str, Any] = dict(
    images=[dict(id=number, file_name=f'{number}.png', width=40, height=30) for number in (1, 2, 3)],
    annotations=[
        dict(id=10 * image + number, image_id=image, category_id=category, bbox=[2, 3, 10, 8], area=80,
             iscrowd=0, segmentation=[[2, 3, 12, 3, 12, 11]])
        for image in (1, 2, 3) for number, category in enumerate((5, 7))],
    categories=[dict(id=5, name='cat'), dict(id=7, name='dog')])


def picture(path: Path, size: tuple[int, int] = (40, 30), **options: Any) -> None:
    """A picture of noise, ``size`` as width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)


def label_map(path: Path, values: Any, size: tuple[int, int] = (40, 30)) -> None:
    """A label map that holds ``values``, each in about as many pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.resize(np.array(values, dtype=np.uint8), size[::-1])
    Image.fromarray(pixels).save(path)


def coco(root: Path, change: Callable[[dict[str, Any]], Any] | None = None,
         **settings: Any) -> dict[str, Any]:
    """A COCO data set whose annotations ``change`` may break; returns its config."""
    content = copy.deepcopy(COCO)
    for image in content['images']:
        picture(root / 'img' / image['file_name'])
    if change is not None:
        change(content)
    root.mkdir(parents=True, exist_ok=True)
    (root / 'a.json').write_text(json.dumps(content))
    return dict(
        type='mmdet.CocoDataset', data_root=str(root), ann_file='a.json', data_prefix=dict(img='img/'), **{
            'metainfo': dict(classes=('cat', 'dog')),
            'pipeline': [dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True)],
            **settings})


def dota(root: Path, lines: str, **settings: Any) -> dict[str, Any]:
    """A DOTA data set of one image; ``lines`` is its label file."""
    picture(root / 'images/P1.png', (100, 100))
    (root / 'labels').mkdir(exist_ok=True)
    (root / 'labels/P1.txt').write_text(lines)
    return dict(type='mmrotate.DOTADataset', data_root=str(root), ann_file='labels',
                data_prefix=dict(img_path='images'), metainfo=dict(classes=('ship', 'plane')), **settings)


def ade(root: Path, values: Any, number: int = 3, **settings: Any) -> dict[str, Any]:
    """A segmentation data set of two images with three classes, unless ``number`` says otherwise."""
    for name in ('a', 'b'):
        picture(root / f'images/{name}.jpg')
        label_map(root / f'labels/{name}.png', values)
    return dict(
        type='mmseg.BaseSegDataset', data_root=str(root), metainfo=dict(
            classes=tuple(f'c{index}' for index in range(number))),
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        **{'pipeline': [dict(type='mmseg.LoadAnnotations')], **settings})


def folders(root: Path, **settings: Any) -> dict[str, Any]:
    """Two class folders of two images."""
    for name in ('cat', 'dog'):
        for number in (1, 2):
            picture(root / f'{name}/{number}.png')
    return dict(type='mmpretrain.CustomDataset', data_root=str(root), **settings)


def examined(dataset: dict[str, Any], phase: str = 'train', **options: Any) -> DatasetReport:
    """The report on ``dataset``, by way of a config."""
    cfg = {f'{phase}_dataloader': dict(dataset=dataset)}
    return examine_config(cfg, (phase, ), **options)[0]


def found(dataset: dict[str, Any], phase: str = 'train', **options: Any) -> list[tuple[str, str]]:
    """Severity and text of all findings."""
    report = examined(dataset, phase, **options)
    root = str(dataset['data_root'])
    return [(one.severity, str(one).replace(root, 'ROOT')) for one in report.findings]
