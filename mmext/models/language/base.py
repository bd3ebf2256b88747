"""The interface that METR, LMSeg and CGG get their text embeddings from."""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class LanguageModel(ABC):
    """Turns names or sentences into vectors.

    Not a ``torch.nn.Module``: a detector that keeps one has its weights neither in its state dict
    nor among its parameters, and a copy of the detector (EMA, a teacher) shares it.
    """

    #: Where :meth:`embed` computes and what it returns lies.
    device = torch.device('cpu')

    @property
    @abstractmethod
    def dim(self) -> int:
        """Length of an embedding."""

    @abstractmethod
    def embed(self, texts: Sequence[str]) -> Tensor:
        """Embed texts.

        Args:
            texts: K names or sentences; repetitions are fine.

        Returns:
            ``(K, dim)``, float32, without gradient.
        """

    def to(self, device: torch.device | str) -> LanguageModel:
        """Compute elsewhere from now on."""
        self.device = torch.device(device)
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> LanguageModel:
        return self
