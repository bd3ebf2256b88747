"""Normalise the branches of a batch, each with the host's preprocessor."""
from __future__ import annotations

from typing import Any

from mmengine.model import BaseDataPreprocessor

from mmext.registry import MODELS


@MODELS.register_module()
class BranchDataPreprocessor(BaseDataPreprocessor):
    """A host's data preprocessor over every branch of ``inputs`` and ``data_samples``.

    Batches without branches (those of validation) go through it as they are.

    Args:
        data_preprocessor: Config of the host's one.

    Example:
        >>> dict(type='mmext.BranchDataPreprocessor',
        ...      data_preprocessor=dict(type='mmseg.SegDataPreProcessor', size=(512, 512)))
    """

    def __init__(self, data_preprocessor: dict[str, Any]) -> None:
        super().__init__()
        self.data_preprocessor = MODELS.build(data_preprocessor)

    def forward(self, data: Any, training: bool = False) -> Any:
        """``inputs`` and ``data_samples``, with the branches of ``data`` if it has any."""
        if not isinstance(data['inputs'], dict):
            return self.data_preprocessor(data, training)
        done = {branch: self.data_preprocessor(
            {key: value[branch] for key, value in data.items()}, training) for branch in data['inputs']}
        return {key: {branch: result[key] for branch, result in done.items()}
                for key in ('inputs', 'data_samples')}
