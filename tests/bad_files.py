"""Files that are wrong in one way each, for :mod:`tests.test_bad_input`."""
from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from mmext.datasets import toy

from .cli import tiny_configs
from .datasets.doctor import builders

CONFIGS = {
    'syntax.py': 'model = dict(\n',
    'name.py': 'model = dict(type=RetinaNet)\n',
    'zero.py': 'x = 1 / 0\n',
    'hostbase.py': "_base_ = 'mmdet::nothing/here.py'\n",
    'part.py': 'x = 1\n',
    'broken.json': '{"model": ',
    'notes.txt': 'hello',
    'number.py': "_base_ = 'detection.py'\nmodel = dict(backbone=dict(_delete_=True, type=3))\n",
    'nomodel.py': 'train_dataloader = dict(dataset=dict(type=3))\n',
    'notest.py': "_base_ = 'detection.py'\ntest_dataloader = test_cfg = test_evaluator = None\n",
    'notrain.py': "_base_ = 'detection.py'\ntrain_dataloader = train_cfg = optim_wrapper = None\n",
    'pipeline.py': "_base_ = 'detection.py'\ntrain_pipeline = [dict(type='LoadImageFromFile')]\n",
    'scope.py': "_base_ = 'detection.py'\ndefault_scope = None\n",
}

#: Name -> what is done to a whole COCO file.
COCO: dict[str, Any] = {
    'coco_nan': lambda content: content['annotations'][0].update(bbox=[1, 2, float('nan'), 4]),
    'coco_category': lambda content: content['annotations'][0].update(category_id=77),
    'coco_name': lambda content: content['categories'][0].update(name='caat'),
    'coco_image': lambda content: content['images'][0].update(file_name='none.png'),
    'coco_size': lambda content: content['images'][0].update(height=31),
    'coco_ids': lambda content: content['annotations'][0].update(id=11),
    'coco_area': lambda content: content['annotations'][0].pop('area'),
    'coco_keys': lambda content: content.pop('categories'),
}

DOTA = {
    'dota_fields': '10 10 40 10 40 30 10 30 ship\n',
    'dota_class': '10 10 40 10 40 30 10 30 shp 0\n',
    'dota_words': '10 10 40 10 40 x 10 30 ship 0\n',
    'dota_angle': '25 20 30 20 30 ship\n',
    'dota_headers': 'imagesource:GoogleEarth\ngsd:0.1\n10 10 40 10 40 30 10 30 ship 0\n',
}

ADE = {'ade_zero': (0, 1, 2, 3), 'ade_range': (0, 1, 2, 8)}

DATA = (*COCO, *DOTA, *ADE, 'folder_count', 'folder_image', 'coco_json')


class _Command:
    """Pickled, it asks the reader to make a file."""

    def __reduce__(self) -> Any:
        return os.mkdir, ('HACKED', )


def _checkpoints(place: Path) -> None:
    torch.save({'state_dict': {'w': torch.ones(1000)}}, place / 'good.pth')
    (place / 'empty.pth').write_bytes(b'')
    (place / 'text.pth').write_text('<html>404</html>')
    content = (place / 'good.pth').read_bytes()
    (place / 'cut.pth').write_bytes(content[:len(content) // 2])
    torch.save({'state_dict': {'w': _Command()}}, place / 'code.pth')
    (place / 'pickled.pth').write_bytes(pickle.dumps(_Command(), protocol=2))
    torch.save([1, 2], place / 'list.pth')
    torch.save({'state_dict': {'w': 'words'}}, place / 'words.pth')
    torch.save({'epoch': 1}, place / 'nostate.pth')


def _datasets(place: Path) -> None:
    made = {name: builders.coco(place / 'data' / name, change) for name, change in COCO.items()}
    made |= {name: builders.dota(place / 'data' / name, lines) for name, lines in DOTA.items()}
    made |= {name: builders.ade(place / 'data' / name, values) for name, values in ADE.items()}
    made['folder_count'] = builders.folders(place / 'data/folder_count', metainfo=dict(classes=('cat', )))
    made['folder_image'] = builders.folders(place / 'data/folder_image')
    (place / 'data/folder_image/cat/1.png').write_text('no image')
    made['coco_json'] = builders.coco(place / 'data/coco_json')
    (place / 'data/coco_json/a.json').write_text('{"images": [}')
    for name, dataset in made.items():
        (place / f'{name}.py').write_text(f'train_dataloader = dict(dataset={dataset!r})\n')


def write(place: Path) -> None:
    """Write all of them into ``place``, and beside them the tiny configs with their toy data."""
    toy.make(place / 'toy', num_train=4, num_val=2, size=64)
    tiny_configs.write(place)
    for name, text in CONFIGS.items():
        (place / name).write_text(text)
    (place / 'folder').mkdir()
    (place / 'file').touch()
    _checkpoints(place)
    _datasets(place)
