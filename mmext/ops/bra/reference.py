"""Routed attention as its definition reads: the yardstick of tests and benchmarks.

Shapes: B batch, R query regions of T tokens, S key regions of U tokens, k routed regions, G heads
of D channels (queries and keys) and E channels (values).
"""
from __future__ import annotations

import torch
from torch import Tensor


def routed_attention_reference(query: Tensor,
                               key: Tensor,
                               value: Tensor,
                               routes: Tensor,
                               heads: int,
                               scale: float,
                               weights: Tensor | None = None,
                               mask: Tensor | None = None) -> Tensor:
    """Expand, gather, multiply, softmax, multiply: the straightforward formulation.

    Arguments and result are those of :func:`mmext.ops.bra.routed_attention`.
    """
    batch, regions, tokens, _ = query.shape
    topk = routes.shape[-1]

    def gather(x: Tensor) -> Tensor:
        """``(B, S, U, C) -> (B, R, k, U, C)``, through an index as large as the result."""
        every = x.unsqueeze(1).expand(-1, regions, -1, -1, -1)
        index = routes[..., None, None].expand(-1, -1, -1, *x.shape[2:])
        return torch.gather(every, 2, index)

    def by_head(x: Tensor) -> Tensor:
        """``(B, R, n, G*c) -> (B, R, G, n, c)``."""
        return x.unflatten(-1, (heads, -1)).transpose(2, 3)

    keys, values = gather(key), gather(value)
    if weights is not None:
        keys, values = (weights[..., None, None] * x for x in (keys, values))
    scores = by_head(query * scale) @ by_head(keys.flatten(2, 3)).transpose(-2, -1)
    if mask is not None:
        allowed = gather(mask.expand(batch, -1, -1).unsqueeze(-1)).reshape(batch, regions, 1, 1, -1)
        scores = scores.masked_fill(~allowed, float('-inf'))
    attended = scores.softmax(dim=-1) @ by_head(values.flatten(2, 3))
    assert attended.shape[2] == heads and routes.shape == (batch, regions, topk)
    return attended.transpose(2, 3).reshape(batch, regions, tokens, -1)
