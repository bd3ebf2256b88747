"""Distances of rotated boxes in closed form; all run on CPU, with gradients.

Boxes are ``(..., 5)``: centre x and y, width, height in pixels, angle in radians, clockwise on screen
(x right, y down). Two arguments broadcast: ``(N, 1, 5)`` with ``(M, 5)`` gives all pairs, two ``(N, 5)``
give aligned pairs.

A box is also read as the Gaussian with covariance S = R diag(w^2, h^2) / 4 R^T (GWD, KLD: arXiv
2101.11952, 2106.01883). Inverse, determinant and products of such matrices need no matrix: with widths
and heights clamped, float32 stays exact where the determinant of the 2x2 matrix cancels.
"""
from __future__ import annotations

import torch
from torch import Tensor

#: Sides are at least this long, in pixels, and at most its inverse squared.
MIN_SIDE, MAX_SIDE = 1e-3, 1e7
FUNCTIONS = ('log1p', 'sqrt', 'none')
KINDS = ('kld', 'gwd', 'jd', 'kld_symmax', 'kld_symmin')


def canonical(boxes: Tensor, width_longer: bool = True, start_angle: float = 0.) -> Tensor:
    """The same rectangles in the one way the model writes them; the argument is not changed.

    Args:
        boxes: ``(..., 5)``.
        width_longer: Width is the longer side and the angle in [start, start + pi); otherwise the
            angle is in [start, start + pi / 2).
        start_angle: In radians.
    """
    x, y, w, h, t = boxes.unbind(-1)
    if width_longer:
        keep = w > h
        t = (torch.where(keep, t, t + torch.pi / 2) - start_angle) % torch.pi + start_angle
    else:
        t = (t - start_angle) % torch.pi
        keep = t < torch.pi / 2
        t = torch.where(keep, t, t - torch.pi / 2) + start_angle
    return torch.stack((x, y, torch.where(keep, w, h), torch.where(keep, h, w), t), -1)


def elongation(boxes: Tensor) -> Tensor:
    """(w^2 - h^2) / (w^2 + h^2) without its sign: 0 for a square, near 1 for a needle.

    Args:
        boxes: ``(..., 5)``, in pixels.
    """
    w2, h2 = (boxes[..., index].clamp(MIN_SIDE, MAX_SIDE).square() for index in (2, 3))
    return (w2 - h2).abs() / (w2 + h2)


def contour(boxes: Tensor, num_points: int = 4) -> Tensor:
    """Points on the boxes' borders, ``num_points / 4`` per side starting at each corner.

    Args:
        boxes: ``(..., 5)``.
        num_points: A multiple of 4.

    Returns:
        ``(..., num_points, 2)``.
    """
    corners = boxes.new_tensor([[1., 1.], [1., -1.], [-1., -1.], [-1., 1.]]) / 2
    steps = torch.arange(num_points // 4, dtype=boxes.dtype, device=boxes.device) / (num_points // 4)
    unit = (corners[:, None] + steps[:, None] * (corners.roll(-1, 0) - corners)[:, None]).flatten(0, 1)
    local = unit * boxes[..., None, 2:4]
    cos, sin = boxes[..., 4, None].cos(), boxes[..., 4, None].sin()
    rotated = torch.stack((local[..., 0] * cos - local[..., 1] * sin,
                           local[..., 0] * sin + local[..., 1] * cos), -1)
    return rotated + boxes[..., None, :2]


def point_set_distances(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest distances between all pairs of point sets.

    Args:
        first: ``(N, P, 2)``; second: ``(M, P, 2)``.

    Returns:
        ``(N, M, P)``: from each point of the first to the second, and the reverse.
    """
    squared = (first[:, None, :, None] - second[None, :, None]).square().sum(-1)
    return squared.amin(-1).clamp(min=0).sqrt(), squared.amin(-2).clamp(min=0).sqrt()


def kld(p: Tensor, g: Tensor, alpha: float = 1.) -> Tensor:
    """KL divergence of the Gaussians, KL(g || p); ``alpha`` divides the distance of the centres."""
    p, g = _float(p), _float(g)
    wp, hp, wg, hg = _sides(p, g)
    cos, sin = p[..., 4].cos(), p[..., 4].sin()
    dx, dy = p[..., 0] - g[..., 0], p[..., 1] - g[..., 1]
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    centres = 2 * ((along / wp).square() + (across / hp).square())
    cos2 = (p[..., 4] - g[..., 4]).cos().square()
    ww, hh, hw, wh = ((a / b).square() for a, b in ((wg, wp), (hg, hp), (hg, wp), (wg, hp)))
    shapes = (cos2 * (ww + hh) + (1 - cos2) * (hw + wh)) / 2
    return centres / alpha**2 + shapes + (wp / wg).log() + (hp / hg).log() - 1


def gwd(p: Tensor, g: Tensor, alpha: float = 1., normalize: bool = True) -> Tensor:
    """Wasserstein distance of the Gaussians (not squared)."""
    p, g = _float(p), _float(g)
    wp, hp, wg, hg = _sides(p, g)
    centres = (p[..., :2] - g[..., :2]).square().sum(-1)
    cos2 = (p[..., 4] - g[..., 4]).cos().square()
    trace = (cos2 * ((wp * wg).square() + (hp * hg).square())
             + (1 - cos2) * ((wp * hg).square() + (hp * wg).square())) / 16
    root_det = (wp * hp * wg * hg / 16).clamp(min=1e-7**.5)
    shapes = ((wp.square() + hp.square() + wg.square() + hg.square()) / 4
              - 2 * (trace + 2 * root_det).clamp(min=1e-7).sqrt())
    distance = (centres + alpha**2 * shapes).clamp(min=1e-7).sqrt()
    return distance / (2 * root_det**.25) if normalize else distance


def gaussian_distance(p: Tensor, g: Tensor, kind: str = 'kld', fun: str = 'log1p', tau: float = 1.,
                      alpha: float = 1., sqrt: bool = False, normalize: bool = True) -> Tensor:
    """A distance of Gaussians, passed through ``fun``; bounded by 1 if ``tau`` >= 1.

    Args:
        p: Predicted boxes; g: ground truth.
        kind: One of :data:`KINDS`. ``jd`` is the mean of both directions of KLD, ``symmax`` and
            ``symmin`` their larger and smaller one.
        fun: ``log1p``, ``sqrt`` or ``none``.
        tau: From 1 on, f becomes 1 - 1 / (tau + f).
        alpha: Weight of the centres: KLD divides by its square, GWD multiplies the shapes with it.
        sqrt: Take the root of a KLD-type distance first.
        normalize: Divide a GWD by the size of the boxes.
    """
    def root(value: Tensor) -> Tensor:
        return value.clamp(min=1e-7).sqrt() if sqrt else value

    if kind == 'gwd':
        distance = gwd(p, g, alpha, normalize)
    elif kind == 'kld':
        distance = root(kld(p, g, alpha))
    elif kind == 'jd':
        distance = root((kld(p, g, alpha) + kld(g, p, alpha)) / 2)
    else:
        both = root(kld(p, g, alpha)), root(kld(g, p, alpha))
        distance = torch.maximum(*both) if kind == 'kld_symmax' else torch.minimum(*both)
    if fun == 'log1p':
        distance = distance.log1p()
    elif fun == 'sqrt':
        distance = distance.clamp(min=1e-7).sqrt()
    return 1 - 1 / (tau + distance) if tau >= 1 else distance


def prob_iou(p: Tensor, g: Tensor) -> Tensor:
    """ProbIoU (arXiv 2106.06072): 1 - Hellinger distance of the boxes' uniform-moment Gaussians."""
    p, g = _float(p), _float(g)
    (a1, b1, c1), (a2, b2, c2) = _covariance(p), _covariance(g)
    a, b, c = (a1 + a2) / 2, (b1 + b2) / 2, (c1 + c2) / 2
    det = a * b - c.square()
    dx, dy = p[..., 0] - g[..., 0], p[..., 1] - g[..., 1]
    centres = (b * dx.square() + a * dy.square() - 2 * c * dx * dy) / det / 8
    wp, hp, wg, hg = _sides(p, g)
    # The published term has the 1e-7.
    shapes = (det / (wp * hp * wg * hg / 144) + 1e-7).log() / 2
    distance = (centres + shapes).clamp(1e-7, 100)
    return 1 - (1 - (-distance).exp() + 1e-7).sqrt()


def rotated_iou(p: Tensor, g: Tensor) -> Tensor:
    """IoU of aligned pairs ``(N, 5)``, with gradients, on any device.

    The corners of each box inside the other and the crossings of their edges are the corners of the
    intersection; sorted by angle, the shoelace formula gives its area. In double precision: with
    float32, identical boxes can come out as a third.
    """
    dtype, p, g = p.dtype, p.double(), g.double()
    # The scale of the pair, so that tolerances mean the same for small and for large boxes.
    unit = torch.stack((p[:, 2], p[:, 3], g[:, 2], g[:, 3])).amax(0).detach().clamp(min=1e-6)
    scale = torch.stack((unit, unit, unit, unit, torch.ones_like(unit)), -1)
    centre = torch.nn.functional.pad(p[:, :2].detach(), (0, 3))
    p, g = (p - centre) / scale, (g - centre) / scale
    first, second = contour(p), contour(g)
    crossings, crosses = _crossings(first, second)
    points = torch.cat((first, second, crossings), 1)
    valid = torch.cat((_inside(first, g), _inside(second, p), crosses), 1)
    mean = (points * valid[..., None]).sum(1) / valid.sum(1).clamp(min=1)[:, None]
    relative = (points - mean[:, None].detach())
    angles = torch.atan2(relative[..., 1].detach(), relative[..., 0].detach())
    order = angles.masked_fill(~valid, torch.inf).argsort(-1)
    ordered = relative.gather(1, order[..., None].expand(-1, -1, 2))
    used = torch.arange(order.shape[1], device=p.device) < valid.sum(1, keepdim=True)
    ordered = torch.where(used[..., None], ordered, ordered[:, :1])
    following = ordered.roll(-1, 1)
    area = (ordered[..., 0] * following[..., 1] - ordered[..., 1] * following[..., 0]).sum(1).abs() / 2
    area = torch.where(valid.sum(1) > 2, area, area * 0)
    union = p[:, 2] * p[:, 3] + g[:, 2] * g[:, 3] - area
    return (area / union.clamp(min=1e-12)).to(dtype)


def _crossings(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Crossings ``(N, 16, 2)`` of the edges of two quadrilaterals, and which exist."""
    start, other = first[:, :, None], second[:, None]
    d1, d2 = (first.roll(-1, 1) - first)[:, :, None], (second.roll(-1, 1) - second)[:, None]
    cross = d1[..., 0] * d2[..., 1] - d1[..., 1] * d2[..., 0]
    parallel = cross.abs() < 1e-12
    cross = torch.where(parallel, torch.ones_like(cross), cross)
    gap = other - start
    t = (gap[..., 0] * d2[..., 1] - gap[..., 1] * d2[..., 0]) / cross
    u = (gap[..., 0] * d1[..., 1] - gap[..., 1] * d1[..., 0]) / cross
    exists = ~parallel & (t > 0) & (t < 1) & (u > 0) & (u < 1)
    points = torch.where(exists[..., None], start + t[..., None] * d1, torch.zeros_like(gap))
    return points.flatten(1, 2), exists.flatten(1)


def _inside(points: Tensor, boxes: Tensor) -> Tensor:
    """Which of the points ``(N, P, 2)`` lie in the boxes ``(N, 5)``; borders do."""
    offset = (points - boxes[:, None, :2]).detach()
    cos, sin = boxes[:, None, 4].detach().cos(), boxes[:, None, 4].detach().sin()
    local = torch.stack((offset[..., 0] * cos + offset[..., 1] * sin,
                         offset[..., 1] * cos - offset[..., 0] * sin), -1)
    return (local.abs() <= boxes[:, None, 2:4].detach() / 2 + 1e-9).all(-1)


def _covariance(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """xx, yy and xy of the covariance of the uniform distribution on a box."""
    w2, h2 = (boxes[..., i].clamp(MIN_SIDE, MAX_SIDE).square() / 12 for i in (2, 3))
    cos, sin = boxes[..., 4].cos(), boxes[..., 4].sin()
    return (w2 * cos**2 + h2 * sin**2, w2 * sin**2 + h2 * cos**2, (w2 - h2) * cos * sin)


def _sides(p: Tensor, g: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    wp, hp, wg, hg = (box[..., i].clamp(MIN_SIDE, MAX_SIDE) for box in (p, g) for i in (2, 3))
    return wp, hp, wg, hg


def _float(boxes: Tensor) -> Tensor:
    """At least float32: in half precision the squares of sides overflow."""
    return boxes.float() if boxes.dtype in (torch.float16, torch.bfloat16) else boxes
