"""What captions are for: nouns that no mask goes with find their regions."""
from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmext.models.language import WordEmbeddings
from mmext.models.losses.grounding_loss import GroundingLoss

WORDS = str(Path(__file__).parents[2] / 'configs/cgg/toy_words_minilm.safetensors')
CLASSES = ('bar', 'disc', 'triangle', 'ring', 'star')
BASE = 3  # those before have masks, 'ring' and 'star' are in captions only
REGIONS = 4


def _pictures(count: int, looks: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Regions ``(count, REGIONS, D)`` that look like their class, and the classes; some are nothing."""
    labels = torch.randint(0, len(CLASSES) + 1, (count, REGIONS), generator=generator)
    noise = torch.randn(count, REGIONS, looks.shape[1], generator=generator)
    return looks[labels] + 0.3 * noise, labels


def _novel_accuracy(with_captions: bool) -> float:
    """Train one linear layer from looks to words; how many novel regions get the right one of two names?"""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    words = WordEmbeddings(WORDS, 384).embed(CLASSES)
    looks = torch.randn(len(CLASSES) + 1, 32, generator=generator)
    layer = nn.Linear(32, words.shape[1])
    optimizer = torch.optim.AdamW(layer.parameters(), 3e-3)
    grounding = GroundingLoss(skip_empty=True)
    for _ in range(80):
        regions, labels = _pictures(8, looks, generator)
        queries = layer(regions)
        # Novel regions are 'no object' where masks are all there is, as in Mask2Former's training.
        target = labels.where(labels < BASE, torch.tensor(BASE))
        logits = F.pad(queries @ words[:BASE].t() / 10, (0, 1))
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten())
        if with_captions:
            present = torch.stack([(labels == name).any(dim=1) for name in range(len(CLASSES))], dim=1)
            loss = loss + grounding(queries[None], words.expand(8, -1, -1), present).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        regions, labels = _pictures(200, looks, generator)
        novel = (labels >= BASE) & (labels < len(CLASSES))
        names = (layer(regions[novel]) @ words[BASE:].t()).argmax(dim=1) + BASE
        return float((names == labels[novel]).float().mean())


def test_captions_teach_the_names_of_what_has_no_mask() -> None:
    assert _novel_accuracy(with_captions=True) > 0.95
    assert _novel_accuracy(with_captions=False) < 0.75  # one of two: 0.5 by chance
