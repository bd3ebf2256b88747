"""What the semantic and the panoptic LMSeg share: the embeddings of class names."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from ....errors import UserError
from ....registry import MODELS
from ...language import LanguageModel
from .taxonomy import Taxonomy, of_samples, read_taxonomy


class LanguageGuide(BaseModule):
    """Taxonomies, their text encoder, and the adapter to the decoder's channels.

    Args:
        taxonomies: Class names by taxonomy, see :func:`.read_taxonomy`.
        text_encoder: :class:`.CLIPTextContextEncoder`, or any :class:`.LanguageModel`, whose embeddings
            are constant.
        channels: Of the decoder.
        default_taxonomy: Of samples that do not name one; with a single taxonomy that one.

    Raises:
        UserError: If there is no taxonomy, one is not valid, or ``default_taxonomy`` is none of them.
    """

    encoder: Any
    adapter: nn.Sequential

    def __init__(self, taxonomies: Mapping[str, Any], text_encoder: dict, channels: int,
                 default_taxonomy: str | None = None) -> None:
        super().__init__()
        if not taxonomies:
            raise UserError('LMSeg needs taxonomies=dict(<name>=dict(classes=[...]), ...)')
        self.taxonomies = {name: read_taxonomy(name, one) for name, one in taxonomies.items()}
        if default_taxonomy is None and len(self.taxonomies) == 1:
            default_taxonomy = next(iter(self.taxonomies))
        self.default = default_taxonomy
        if default_taxonomy is not None:
            of_samples([{}], self.taxonomies, default_taxonomy)  # raises if it is not known
        encoder: Any = MODELS.build(text_encoder)
        if not isinstance(encoder, (LanguageModel, nn.Module)):
            raise UserError(f'text_encoder={type(encoder).__name__}: expected '
                            'mmext.CLIPTextContextEncoder, mmext.TextEncoder or mmext.TextTable')
        self.encoder = encoder
        dim: Any = encoder.dim
        self.adapter = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, channels))
        self._known: dict[str, Tensor] = {}
        self._tables: dict[str, Tensor] = {}
        self._fingerprint: tuple[Any, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of samples that name no taxonomy; empty if such are refused."""
        return () if self.default is None else self.taxonomies[self.default].classes

    def set_classes(self, classes: Sequence[str]) -> None:
        """Ask for other things from now on, of samples that name no taxonomy.

        Args:
            classes: Their names; they go into the sentence of the default taxonomy. Each is a thing.

        Raises:
            UserError: If there is none, a name is there twice, or the text encoder does not know one.
        """
        before = self.taxonomies.get(self.default or '') or next(iter(self.taxonomies.values()))
        asked = read_taxonomy('asked for', dict(classes=list(classes), prompt=before.template,
                                                background=before.background,
                                                things=list(range(len(classes)))))
        with torch.no_grad():
            self._encode(asked.prompts)
        self.taxonomies[asked.name], self.default = asked, asked.name
        self._tables.pop(asked.name, None)

    def of(self, samples: Sequence[Any]) -> list[Taxonomy]:
        """The taxonomy of each data sample."""
        return of_samples([sample.metainfo for sample in samples], self.taxonomies, self.default)

    def of_batch(self, samples: Sequence[Any]) -> Taxonomy:
        """The one taxonomy of a training batch.

        Raises:
            UserError: If the samples have different ones.
        """
        found = {taxonomy.name: taxonomy for taxonomy in self.of(samples)}
        if len(found) > 1:
            raise UserError(f'LMSeg: a training batch has samples of {" and ".join(sorted(found))}: use '
                            'mmext.MultiDatasetSampler with one_dataset_per_batch=True and the batch_size of '
                            'the data loader')
        return next(iter(found.values()))

    def forward(self, taxonomy: Taxonomy) -> Tensor:
        """Embeddings ``(K + 1, channels)`` of a taxonomy, the background last.

        Without gradients (in a test) every table is computed once, until a parameter changes; every
        prompt is encoded once, also where taxonomies share it. A text encoder that is not trained
        encodes every prompt once in all.
        """
        if torch.is_grad_enabled():
            return self.adapter(self._encode(taxonomy.prompts))
        fingerprint = tuple((parameter.data_ptr(), parameter._version) for parameter in self.parameters())
        if fingerprint != self._fingerprint:
            self._fingerprint = fingerprint
            self._tables.clear()
            self._known.clear()
        if taxonomy.name not in self._tables:
            self._tables[taxonomy.name] = self.adapter(self._encode(taxonomy.prompts))
        return self._tables[taxonomy.name]

    def _encode(self, prompts: Sequence[str]) -> Tensor:
        """``(K + 1, E)`` of prompts."""
        device = next(self.adapter.parameters()).device
        if isinstance(self.encoder, LanguageModel):
            return self.encoder.embed(prompts).to(device)
        if torch.is_grad_enabled() and self.encoder.trained:
            return self.encoder.embed(prompts)
        new = [prompt for prompt in prompts if prompt not in self._known]
        if new:
            with torch.no_grad():
                self._known.update(zip(new, self.encoder.embed(new)))
        return torch.stack([self._known[prompt] for prompt in prompts]).to(device)

    def train(self, mode: bool = True) -> LanguageGuide:
        """Set the mode; tables are computed anew."""
        self._tables.clear()
        self._known.clear()
        return super().train(mode)

    def _load_from_state_dict(self, *args: Any) -> None:
        self._tables.clear()
        self._known.clear()
        super()._load_from_state_dict(*args)
