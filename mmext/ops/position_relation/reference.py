"""The position relation as the paper writes it ("Relation DETR", equations 4 to 7).

Shapes: B images, N source boxes (queries of the attention), M target boxes (keys), H heads, K
frequencies. Boxes are cxcywh, in any one unit.
"""
from __future__ import annotations

import torch
from torch import Tensor

EPS = 1e-5


def frequencies(count: int, temperature: float, scale: float, like: Tensor) -> Tensor:
    """``(K, )`` factors of a difference: ``scale / temperature**(k / K)``."""
    exponents = torch.arange(count, dtype=like.dtype, device=like.device) / count
    return scale / temperature**exponents


def along_sides(offset: Tensor, angle: Tensor) -> Tensor:
    """Offsets in the frame of boxes that are turned.

    Args:
        offset: ``(2, ...)``, x and y.
        angle: ``(1, ...)`` in radians, clockwise on screen, or ``(0, ...)``: not turned.

    Returns:
        ``(2, ...)``.
    """
    if not len(angle):
        return offset
    (x, y), cos, sin = offset, angle[0].cos(), angle[0].sin()
    return torch.stack((x * cos + y * sin, y * cos - x * sin))


def box_differences(src: Tensor, tgt: Tensor) -> Tensor:
    """Scale-invariant differences of all pairs of boxes.

    Args:
        src: ``(B, N, 4)``, or ``(B, N, 5)`` with an angle, along whose sides dx and dy are measured.
        tgt: ``(B, M, 4 or 5)``.

    Returns:
        ``(B, N, M, 4)``: ``log(|dx| / w_src + 1)``, ``log(|dy| / h_src + 1)``,
        ``log(w_src / w_tgt)``, ``log(h_src / h_tgt)``.
    """
    centre, size, angle = src[:, :, None].tensor_split((2, 4), dim=-1)
    other_centre, other_size, _ = tgt[:, None].tensor_split((2, 4), dim=-1)
    distance = along_sides((centre - other_centre).movedim(-1, 0), angle.movedim(-1, 0)).movedim(0, -1)
    offset = torch.log(distance.abs() / (size + EPS) + 1)
    ratio = torch.log((size + EPS) / (other_size + EPS))
    return torch.cat((offset, ratio), dim=-1)


def position_relation_reference(src: Tensor,
                                tgt: Tensor,
                                weight: Tensor,
                                bias: Tensor,
                                temperature: float = 10000.,
                                scale: float = 100.,
                                mask: Tensor | None = None) -> Tensor:
    """Sine features of the pairwise differences, projected, through a ReLU. No gradient to boxes.

    Args:
        src: ``(B, N, 4 or 5)`` boxes of the attention's queries.
        tgt: ``(B, M, 4 or 5)`` boxes of its keys.
        weight: ``(H, 8K)``; for each of the four differences K pairs of (sine, cosine).
        bias: ``(H, )``.
        temperature: Ratio of the largest to the smallest wave length, about.
        scale: Factor of the differences.
        mask: ``(N, M)``, true where attention is forbidden: -inf there.

    Returns:
        ``(B, H, N, M)``, not negative where ``mask`` is false.
    """
    with torch.no_grad():
        waves = frequencies(weight.shape[1] // 8, temperature, scale, src)
        phases = box_differences(src, tgt)[..., None] * waves
        features = torch.stack((phases.sin(), phases.cos()), dim=-1).flatten(3)
    out = (features @ weight.T + bias).relu().permute(0, 3, 1, 2)
    return out if mask is None else out.masked_fill(mask, float('-inf'))
