"""Labelled and unlabelled images side by side, for semi-supervised segmentation in mmseg."""
from __future__ import annotations

from typing import Any

import numpy as np
from torch.utils.data import Dataset

from ..errors import UserError
from ..registry import DATASETS

BRANCHES = ('sup', 'unsup0', 'unsup1')


@DATASETS.register_module()
class SemiSegDataset(Dataset):
    """Samples with a labelled image and two unlabelled ones.

    Each sample has the branches ``sup``, ``unsup0`` and ``unsup1`` under ``inputs`` and
    ``data_samples``. The longer of the two data sets is seen once in an epoch, the other is
    repeated; the second unlabelled image is drawn at random.

    Args:
        labelled: Config of a data set whose pipeline packs a label map.
        unlabelled: Config of a data set; its pipeline needs no ``LoadAnnotations``.

    Raises:
        UserError: If one of them is empty.

    Example:
        >>> dict(type='mmext.SemiSegDataset',
        ...      labelled=dict(type='BaseSegDataset', ann_file='1-8.txt', pipeline=train_pipeline),
        ...      unlabelled=dict(type='BaseSegDataset', pipeline=unlabelled_pipeline))
    """

    def __init__(self, labelled: dict[str, Any], unlabelled: dict[str, Any]) -> None:
        self.labelled, self.unlabelled = (DATASETS.build(part) if isinstance(part, dict) else part
                                          for part in (labelled, unlabelled))
        for name, part in (('labelled', self.labelled), ('unlabelled', self.unlabelled)):
            if len(part) == 0:
                raise UserError(f'SemiSegDataset: the {name} data set is empty; check its data_root, '
                                'data_prefix and ann_file')

    @property
    def metainfo(self) -> dict[str, Any]:
        """That of the labelled data set."""
        return self.labelled.metainfo

    def full_init(self) -> None:
        """Read both data sets' annotations, if that has not been done."""
        self.labelled.full_init()
        self.unlabelled.full_init()

    def __len__(self) -> int:
        return max(len(self.labelled), len(self.unlabelled))

    def __getitem__(self, idx: int) -> dict[str, dict[str, Any]]:
        """``inputs`` and ``data_samples``, each with the three branches."""
        other = int(np.random.randint(len(self.unlabelled)))
        parts = (self.labelled[idx % len(self.labelled)],
                 self.unlabelled[idx % len(self.unlabelled)], self.unlabelled[other])
        return {key: {branch: part[key] for branch, part in zip(BRANCHES, parts)}
                for key in ('inputs', 'data_samples')}
