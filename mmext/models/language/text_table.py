"""Embeddings kept in a file, with the texts that they are of."""
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import normalize as unit

from ...apis.writers import replacing
from ...errors import UserError, did_you_mean
from ...registry import MODELS
from .base import LanguageModel

_TENSOR, _NAMES, _SOURCE = 'embeddings', 'names', 'source'


def write_table(path: str | Path, names: Sequence[str], embeddings: Tensor, source: str = '') -> None:
    """Store embeddings with their texts; the file appears when it is complete.

    Args:
        path: The file, ``.safetensors``.
        names: K different texts.
        embeddings: ``(K, D)``.
        source: What they were made with.

    Raises:
        UserError: If the numbers do not fit, a text is there twice or an embedding is not finite.
    """
    path = Path(path)
    if path.suffix != '.safetensors':
        raise UserError(f'{path}: a text table ends with .safetensors')
    if embeddings.ndim != 2 or len(embeddings) != len(names):
        raise UserError(f'{path}: {len(names)} texts need embeddings of shape ({len(names)}, D), got '
                        f'{tuple(embeddings.shape)}')
    twice = sorted({name for name in names if list(names).count(name) > 1}) if len(set(names)) < len(
        names) else []
    if twice:
        raise UserError(f"{path}: the text '{twice[0]}' is there more than once")
    wrong = (~embeddings.isfinite().all(dim=1)).nonzero().flatten().tolist()
    if wrong:
        raise UserError(f"{path}: the embedding of '{names[wrong[0]]}' is not finite")
    content = embeddings.detach().to('cpu', torch.float32).contiguous()
    with replacing(path) as temporary:
        save_file({_TENSOR: content}, temporary,
                  metadata={_NAMES: json.dumps(list(names), ensure_ascii=False), _SOURCE: source})


def read_table(path: str | Path) -> tuple[list[str], Tensor]:
    """Texts and their embeddings ``(K, D)``, float32.

    Raises:
        UserError: If the file is not a text table; the message says what is wrong with it.
    """
    path = Path(path)
    if not path.is_file():
        siblings = [entry.name for entry in path.parent.glob('*.safetensors')] \
            if path.parent.is_dir() else []
        raise UserError(f'no such text table: {path}{did_you_mean(path.name, siblings)}')
    try:
        with safe_open(path, 'pt') as file:
            names = json.loads((file.metadata() or {})[_NAMES])
            embeddings = file.get_tensor(_TENSOR).float()
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UserError(f"{path} is not a text table (a safetensors file with one tensor '{_TENSOR}' and the "
                        f"JSON list '{_NAMES}' in its metadata; mmext text-table writes one): {error}"
                        ) from None
    if embeddings.ndim != 2 or len(names) != len(embeddings):
        raise UserError(f'{path}: {len(names)} names, but embeddings of shape {tuple(embeddings.shape)}')
    return names, embeddings


@MODELS.register_module()
class TextTable(LanguageModel):
    """Embeddings from a file, see :func:`write_table` and ``mmext text-table``.

    Args:
        path: The file.
        normalize: Scale every embedding to length 1.

    Raises:
        UserError: If the file is not a text table.

    Example:
        >>> table = TextTable('configs/metr/toy_classes_minilm.safetensors')
        >>> table.embed(['star', 'ring']).shape
        torch.Size([2, 384])
    """

    def __init__(self, path: str, normalize: bool = False) -> None:
        self.path = path
        names, embeddings = read_table(path)
        self.names = tuple(names)
        self._rows = {name: row for row, name in enumerate(names)}
        self._embeddings = unit(embeddings, dim=-1) if normalize else embeddings

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self._embeddings.shape[1]

    def embed(self, texts: Sequence[str]) -> Tensor:
        """See the base class.

        Raises:
            UserError: If the table lacks some of the texts; it names them and the nearest that are there.
        """
        missing = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if missing:
            shown = ', '.join(f"'{text}'{did_you_mean(text, self._rows).rstrip('?')}" for text in missing[:5])
            more = f' and {len(missing) - 5} more' if len(missing) > 5 else ''
            raise UserError(f'the text table {self.path} lacks {len(missing)} of {len(texts)} texts: '
                            f'{shown}{more}. It has {len(self._rows)}; mmext text-table makes another')
        rows = torch.tensor([self._rows[text] for text in texts], dtype=torch.long)
        return self._embeddings[rows].to(self.device)
