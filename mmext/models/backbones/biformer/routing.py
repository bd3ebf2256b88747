"""Which regions attend to which: the router and a way to see its choices in any network."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch.nn as nn
from torch import Tensor


class Routing(NamedTuple):
    """The choice of one layer; regions are numbered row by row.

    Attributes:
        indices: ``(B, R, k)``, the regions that each region attends to, best first.
        weights: ``(B, R, k)``, softmax of their logits.
        grid: Regions along the height and the width.
        region_size: Height and width of a region in tokens.
        map_size: Height and width of the map in tokens, without padding.
    """

    indices: Tensor
    weights: Tensor
    grid: tuple[int, int]
    region_size: tuple[int, int]
    map_size: tuple[int, int]


class TopKRouter(nn.Module):
    """The k key regions most related to each query region.

    Args:
        channels: Channels of the pooled queries and keys.
        scale: Factor of the logits.
        param_routing: Project both first, with one learned linear layer.
        diff_routing: Let gradients pass into the queries and keys.
    """

    def __init__(self, channels: int, scale: float, param_routing: bool = False,
                 diff_routing: bool = False) -> None:
        super().__init__()
        self.scale = scale
        self.diff_routing = diff_routing
        self.emb = nn.Linear(channels, channels) if param_routing else nn.Identity()

    def forward(self, query: Tensor, key: Tensor, topk: int, grid: tuple[int, int],
                region_size: tuple[int, int], map_size: tuple[int, int],
                empty: Tensor | None = None) -> Routing:
        """Route.

        Args:
            query: Pooled queries ``(B, R, C)``.
            key: Pooled keys ``(B, R, C)``.
            topk: How many regions each region attends to.
            grid: See :class:`Routing`; as are ``region_size`` and ``map_size``.
            empty: ``(1, R)``, true for regions that hold nothing but padding; chosen last.
        """
        if not self.diff_routing:
            query, key = query.detach(), key.detach()
        logits = (self.emb(query) * self.scale) @ self.emb(key).transpose(-2, -1)
        if empty is not None:
            logits = logits.masked_fill(empty.unsqueeze(1), float('-inf'))
        best, indices = logits.topk(topk, dim=-1)
        return Routing(indices, best.softmax(dim=-1), grid, region_size, map_size)


@contextmanager
def record_routing(model: nn.Module) -> Iterator[dict[str, Routing]]:
    """Collect what every bi-level routing attention inside ``model`` chose in its last call.

    Args:
        model: A backbone, or anything that contains one.

    Yields:
        From the layer's name to its :class:`Routing`, in the order of the calls.

    Example:
        >>> with record_routing(backbone) as routings:
        ...     maps = backbone(images)
        >>> routings['stages.2.0.attn'].indices.shape
        torch.Size([1, 49, 16])
    """
    routings: dict[str, Routing] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple, Routing], None]:
        def hook(module: nn.Module, args: tuple, routing: Routing) -> None:
            routings[name] = Routing(routing.indices.detach(), routing.weights.detach(),
                                     *routing[2:])
        return hook

    handles = [
        module.register_forward_hook(keep(name.removesuffix('router').removesuffix('.')))
        for name, module in model.named_modules() if isinstance(module, TopKRouter)
    ]
    try:
        yield routings
    finally:
        for handle in handles:
            handle.remove()
