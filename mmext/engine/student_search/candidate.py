"""A candidate student: building it, what it costs, how it scores."""
from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ...apis.model import without_pretrained
from ...errors import UserError
from ..meta import on_meta
from .space import Genes, SearchSpace

if TYPE_CHECKING:
    from mmengine.config import Config


#: What can be capped.
CAPS = ('params', 'flops')


@dataclass(frozen=True)
class Candidate:
    """What is known of one candidate.

    Attributes:
        genes: Which one.
        scores: By name, higher is better; empty if it has none.
        value: The score that candidates are ranked by; minus infinity if there is none.
        params: Parameters.
        flops: Multiply-adds of convolutions and matrix products for one image.
        refused: Why it has no score: 'params', 'flops' (above the cap) or what went wrong.
    """

    genes: Genes
    scores: Mapping[str, float] = field(default_factory=dict)
    value: float = -math.inf
    params: int = 0
    flops: int = 0
    refused: str = ''

    @property
    def scored(self) -> bool:
        """Whether it takes part in the search."""
        return not self.refused


def student_of(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config that a search varies: the model itself, or the student of a Distiller."""
    return model['student'] if str(model.get('type')).rpartition('.')[2] == 'Distiller' else model


def built(model: Any, scope: str | None) -> nn.Module:
    """A model from its config, in a host's scope; pretrained weights are left out."""
    from mmengine.registry import MODELS, DefaultScope
    with DefaultScope.overwrite_default_scope(scope or 'mmengine'):
        return MODELS.build(without_pretrained(model))


def cost_of(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> tuple[int, int]:
    """Parameters and multiply-adds of a network for one image; no memory where the network allows it.

    Only convolutions and matrix products are counted, as in the papers; ``get_flops.py`` counts norms too.

    Args:
        build: Builds the network.
        shape: Of the image, ``(3, H, W)``.
    """
    try:
        with on_meta():
            return _counted(build(), torch.zeros(1, *shape, device='meta'))
    except (NotImplementedError, RuntimeError):  # an operator without a shape function: run it
        return _counted(build(), torch.zeros(1, *shape))


def _counted(network: Any, image: torch.Tensor) -> tuple[int, int]:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(image, None, mode='tensor')
    return sum(one.numel() for one in network.parameters()), counter.get_total_flops() // 2


class Evaluator:
    """Scores candidates.

    Args:
        cfg: The config whose fields vary.
        space: Its search space.
        score: A task util that is prepared for the teacher.
        shape: Of an image, ``(3, H, W)``.
        max_params: Cap on the parameters.
        max_flops: Cap on the multiply-adds.
    """

    def __init__(self, cfg: Config, space: SearchSpace, score: Any, shape: tuple[int, ...],
                 max_params: float | None = None, max_flops: float | None = None) -> None:
        self.cfg, self.space, self.score, self.shape = cfg, space, score, shape
        self.caps = max_params, max_flops

    def config(self, genes: Genes) -> Config:
        """The whole config of a candidate."""
        cfg = copy.deepcopy(self.cfg)
        for key, value in self.space.patch(genes).items():
            *parents, last = key.split('.')
            node: Any = cfg
            for part in parents:
                node = node[int(part) if isinstance(node, list) else part]
            node[int(last) if isinstance(node, list) else last] = copy.deepcopy(value)
        return cfg

    def __call__(self, genes: Genes) -> Candidate:
        """Score one; whatever is wrong with it becomes its ``refused``."""
        try:
            cfg = self.config(genes)
            model, scope = student_of(cfg.model), cfg.get('default_scope')
            params, flops = cost_of(lambda: built(model, scope), self.shape)
            for name, value, cap in zip(CAPS, (params, flops), self.caps):
                if cap is not None and value > cap:
                    return Candidate(genes, params=params, flops=flops, refused=name)
            scores = self.score(lambda: built(model, scope))
        except (KeyboardInterrupt, torch.cuda.OutOfMemoryError):
            raise
        except UserError as error:
            return Candidate(genes, refused=str(error))
        except Exception as error:  # any value may be one that the network cannot be built with
            return Candidate(genes, refused=f'{type(error).__name__}: {error}')
        value = scores[self.score.ranked_by]
        if not math.isfinite(value):
            return Candidate(genes, params=params, flops=flops, refused=f'its score is {value}')
        return Candidate(genes, scores, value, params, flops)
