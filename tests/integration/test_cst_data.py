"""An unlabelled set of its own for Cycle Self-Training: what is wrong with it is said before the training."""
from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.config import Config

from mmext.cli.check import check_data_before_run
from mmext.cli.config import load_config
from mmext.errors import UserError

CONFIG = Path(__file__).parents[2] / 'configs' / 'cst' / 'cst_atss_emov2_toy.py'


@pytest.fixture
def split(toy_data: Path, tmp_path: Path) -> Path:
    """Five labelled images, five without annotations in a folder of their own."""
    shutil.copytree(toy_data / 'coco', tmp_path / 'coco')
    whole = json.loads((tmp_path / 'coco' / 'annotations' / 'instances_train.json').read_text())
    whole['images'].sort(key=lambda one: one['id'])
    (tmp_path / 'unlabelled').mkdir()
    for name, images in (('labelled', whole['images'][:5]), ('unlabelled', whole['images'][5:])):
        ids = {one['id'] for one in images} if name == 'labelled' else set()
        annotations = [one for one in whole['annotations'] if one['image_id'] in ids]
        (tmp_path / f'{name}.json').write_text(json.dumps(dict(whole, images=images,
                                                               annotations=annotations)))
    for image in whole['images'][5:]:
        shutil.move(tmp_path / 'coco' / 'train' / image['file_name'], tmp_path / 'unlabelled')
    return tmp_path


def _config(split: Path) -> Config:
    cfg = load_config(str(CONFIG))
    labelled, unlabelled = cfg.train_dataloader.dataset.datasets
    for one, name, folder in ((labelled, 'labelled', 'coco/train'), (unlabelled, 'unlabelled', 'unlabelled')):
        one.update(data_root=str(split), ann_file=f'{name}.json', data_prefix=dict(img=f'{folder}/'))
        del one['indices']
    unlabelled.filter_cfg = dict(filter_empty_gt=False)
    return cfg


def test_an_unlabelled_set_is_no_mistake(split: Path) -> None:
    check_data_before_run(_config(split), ('train', ))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _scribble(path: Path) -> None:
    path.write_bytes(b'this is no picture')


@pytest.mark.parametrize(('spoil', 'says'), [
    (_cut, 'cut off'), (_scribble, 'not readable as images'), (Path.unlink, 'not there')])
def test_a_corrupt_unlabelled_image_is_named(split: Path, spoil: Callable[[Path], None], says: str) -> None:
    picture = sorted((split / 'unlabelled').iterdir())[1]
    spoil(picture)
    with pytest.raises(UserError) as error:
        check_data_before_run(_config(split), ('train', ))
    message = str(error.value)
    assert picture.name in message and says in message and 'datasets.1' in message
