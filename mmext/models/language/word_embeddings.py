"""Single words, not sentences: the input embeddings of BERT, which CGG compares its queries with.

A word table is a text table (:func:`.write_table`) whose texts are the WordPiece tokens of a
vocabulary, in the order of their ids, and whose embeddings are normalised by the LayerNorm of BERT's
embeddings. ``tools/dataset_converters/word_table.py`` writes one.
"""
from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import UserError, did_you_mean
from ...registry import MODELS
from .base import LanguageModel
from .text_table import read_table, write_table

PAD, START, END, UNKNOWN = '[PAD]', '[CLS]', '[SEP]', '[UNK]'
#: What a table of chosen words must have besides them.
SPECIAL = (PAD, START, END, UNKNOWN)


class WordPiece:
    """BERT's uncased tokenizer.

    Args:
        tokens: The vocabulary; the first token is padding.

    Raises:
        UserError: If one of :data:`SPECIAL` is missing or padding is not the first.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = tuple(tokens)
        self.ids = {token: row for row, token in enumerate(tokens)}
        missing = [token for token in SPECIAL if token not in self.ids]
        if missing or self.ids[PAD]:
            what = f'{missing[0]} is missing' if missing else f'{PAD} is not the first token'
            raise UserError(f'no WordPiece vocabulary: {what}; '
                            'tools/dataset_converters/word_table.py writes a word table')
        self.start, self.end, self.unknown = (self.ids[token] for token in (START, END, UNKNOWN))
        self._memory: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without [CLS] and [SEP]."""
        return [token for word in _words(text) for token in self._pieces(word)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special tokens are left out."""
        text = ' '.join(self.tokens[row] for row in ids if self.tokens[row] not in SPECIAL)
        for mark in ('.', ',', '!', '?', "'", ':', ';'):
            text = text.replace(f' {mark}', mark)
        return text.replace(' ##', '').replace("' s ", "'s ")

    def _pieces(self, word: str) -> list[int]:
        if word not in self._memory:
            pieces, start = [], 0
            while start < len(word):
                prefix = '##' if start else ''
                end = next((end for end in range(len(word), start, -1)
                            if prefix + word[start:end] in self.ids), None)
                if end is None:
                    pieces = [self.unknown]
                    break
                pieces.append(self.ids[prefix + word[start:end]])
                start = end
            self._memory[word] = pieces
        return self._memory[word]


def _words(text: str) -> list[str]:
    """Lower-case words and single punctuation marks, without accents."""
    text = unicodedata.normalize('NFD', text.lower())
    spaced = []
    for one in text:
        kind = unicodedata.category(one)
        if kind[0] == 'P' or (kind[0] == 'S' and one.isascii()):
            spaced.append(f' {one} ')
        elif kind != 'Mn':
            spaced.append(' ' if kind in ('Cc', 'Cf') else one)
    return ''.join(spaced).split()


@MODELS.register_module()
class WordEmbeddings(LanguageModel):
    """A name is the mean of its tokens' word embeddings; a caption is a sequence of them.

    Args:
        path: A word table; read when it is first needed.
        dim: Length of an embedding.

    Raises:
        UserError: When the table is needed: if there is none, it has another length, or a name has a
            word that it lacks (a table of the whole vocabulary lacks none).

    Example:
        >>> words = WordEmbeddings('configs/cgg/toy_words_minilm.safetensors', dim=384)
        >>> words.embed(['star', 'fire hydrant']).shape
        torch.Size([2, 384])
    """

    def __init__(self, path: str, dim: int = 768) -> None:
        self.path = path
        self._dim = dim
        self._read: tuple[WordPiece, Tensor] | None = None

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self._dim

    def _loaded(self) -> tuple[WordPiece, Tensor]:
        if self._read is None:
            tokens, table = read_table(self.path)
            if table.shape[1] != self._dim:
                raise UserError(f'{self.path}: embeddings of length {table.shape[1]}, but dim={self._dim}')
            self._read = WordPiece(tokens), table
        return self._read

    @property
    def tokenizer(self) -> WordPiece:
        """The vocabulary."""
        return self._loaded()[0]

    @property
    def table(self) -> Tensor:
        """``(V, dim)``, one row a token."""
        return self._loaded()[1].to(self.device)

    def embed(self, texts: Sequence[str]) -> Tensor:
        """See the base class."""
        tokenizer, table = self._loaded()
        rows = []
        for text in texts:
            ids = tokenizer.encode(text)
            if not ids:
                raise UserError('an empty text has no embedding; which class has no name?')
            if tokenizer.unknown in ids:
                word = next(word for word in _words(text) if tokenizer.unknown in tokenizer.encode(word))
                raise UserError(f"{self.path} has no word '{word}' for '{text}'"
                                f'{did_you_mean(word, tokenizer.tokens)}')
            rows.append(table[ids].mean(dim=0))
        return torch.stack(rows).to(self.device) if rows else torch.zeros(0, self.dim, device=self.device)


def make_word_table(model: str, path: str | Path, texts: Sequence[str] | None = None) -> int:
    """Write a word table with the input embeddings of a BERT model of ``transformers``.

    Args:
        model: Hub id, folder, or 'minilm' (see :class:`.TextEncoder`).
        path: The file, ``.safetensors``.
        texts: Only the tokens of these texts are kept (besides the special ones); None: all.

    Returns:
        The number of tokens.

    Raises:
        UserError: If the model cannot be loaded or is no BERT.
    """
    from .text_encoder import TextEncoder
    encoder = TextEncoder(model)
    encoder._prepare()
    embeddings: Any = getattr(encoder._model, 'embeddings', None)
    if not hasattr(embeddings, 'LayerNorm') or not hasattr(embeddings, 'word_embeddings'):
        raise UserError(f"'{model}' is no BERT: it has no word embeddings with a LayerNorm of their own")
    vocabulary = encoder._tokenizer.get_vocab()
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])
    if texts is not None:
        whole = WordPiece(tokens)
        used = {row for text in texts for row in whole.encode(text)}
        tokens = [*SPECIAL, *(token for row, token in enumerate(tokens)
                              if row in used and token not in SPECIAL)]
    rows = torch.tensor([vocabulary[token] for token in tokens])
    with torch.no_grad():
        table = embeddings.LayerNorm(embeddings.word_embeddings(rows))
    write_table(path, tokens, table, f'word embeddings of {model}')
    return len(tokens)
