"""Embeddings on disk, so that a text is encoded once per model and machine."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import UserError
from .text_table import read_table, write_table


def digest(value: Any) -> str:
    """A short name for a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:20]


class EmbeddingCache:
    """One folder per encoder, in it a text table per call that had something new.

    Files are only ever added, each complete from its first moment, so that any number of processes
    may share a folder; two that encode the same text at once write the same numbers.

    Args:
        folder: For the encoders of all runs.
        key: What the embeddings depend on besides the text.
    """

    def __init__(self, folder: str | Path, key: Mapping[str, Any]) -> None:
        self.folder = Path(folder) / digest(dict(key))
        self.source = json.dumps(dict(key), sort_keys=True)
        self._known: dict[str, Tensor] = {}
        self._read: set[Path] = set()

    def find(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """The embeddings that are there already; an unreadable file counts as absent."""
        if not all(text in self._known for text in texts) and self.folder.is_dir():
            for path in sorted(self.folder.glob('[0-9a-f]*.safetensors')):
                if path not in self._read:
                    self._read.add(path)
                    try:
                        names, embeddings = read_table(path)
                    except UserError:
                        continue
                    self._known.update(zip(names, embeddings))
        return {text: self._known[text] for text in texts if text in self._known}

    def add(self, texts: Sequence[str], embeddings: Tensor) -> None:
        """Keep embeddings ``(K, D)`` of new texts."""
        path = self.folder / f'{digest(list(texts))}.safetensors'
        write_table(path, texts, embeddings, self.source)
        self._read.add(path)
        self._known.update(zip(texts, embeddings.to('cpu', torch.float32)))
