"""DOTA as it is published: label files with header lines, whole pictures."""
from __future__ import annotations

import tempfile
from pathlib import Path

from mmrotate.datasets import DOTADataset

from ..registry import DATASETS


@DATASETS.register_module()
class RawDOTADataset(DOTADataset):
    """:class:`mmrotate.DOTADataset` for label files that have not been through a tiling tool.

    The published files start with two lines (``imagesource:``, ``gsd:``) that mmrotate's reader
    stops at; here they are left out. Images also come in the order of their names, not in that of
    the file system, so that a seed gives the same run on every machine.

    Args:
        **kwargs: As for :class:`mmrotate.DOTADataset`.

    Example:
        >>> dict(type='mmext.RawDOTADataset', data_root='data/dota_sample/',
        ...      ann_file='labelTxt/', data_prefix=dict(img_path='images/'))
    """

    ann_file: str

    def load_data_list(self) -> list[dict]:
        """What the host reads from the files without their headers, sorted by image."""
        folder = self.ann_file
        if not folder:
            data_list = super().load_data_list()
        else:
            with tempfile.TemporaryDirectory() as clean:
                for path in Path(folder).glob('*.txt'):
                    lines = path.read_text().splitlines(keepends=True)
                    objects = (line for line in lines if len(line.split()) >= 9)
                    (Path(clean) / path.name).write_text(''.join(objects))
                self.ann_file = clean if any(Path(clean).iterdir()) else folder
                try:
                    data_list = super().load_data_list()
                finally:
                    self.ann_file = folder
        return sorted(data_list, key=lambda info: info['img_id'])
