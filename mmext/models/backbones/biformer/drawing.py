"""Pictures of routed regions: which parts of an image a part of it attends to."""
from __future__ import annotations

import cv2
import numpy as np

from .routing import Routing

_GRID, _QUERY = (90, 90, 90), (0, 215, 255)


def region_at(routing: Routing, point: tuple[float, float]) -> int:
    """Number of the region at ``point``, (x, y) as fractions of the map's width and height."""
    row, col = (min(int(share * length), length - 1) // side for share, length, side in
                zip(reversed(point), routing.map_size, routing.region_size))
    return row * routing.grid[1] + col


def draw_routing(image: np.ndarray, routing: Routing, region: int, index: int = 0) -> np.ndarray:
    """Draw the regions that one region attends to.

    Args:
        image: ``(H, W, 3)`` uint8, what the network saw.
        routing: The choice of a layer, see :func:`.record_routing`.
        region: Number of the region that attends; it gets a yellow frame.
        index: Which image of the batch.

    Returns:
        A copy of ``image``: routed regions keep their light, the more the higher their weight, the
        rest is dark.

    Raises:
        ValueError: If there is no such region.
    """
    rows, cols = routing.grid
    if not 0 <= region < rows * cols:
        raise ValueError(f'region {region}: expected 0 to {rows * cols - 1}')
    chosen = routing.indices[index, region].tolist()
    weights = routing.weights[index, region].float().tolist()
    light = np.full(image.shape[:2], 0.25, np.float32)
    boxes = [_box(image, routing, number) for number in range(rows * cols)]
    for number, weight in zip(chosen, weights):
        x0, y0, x1, y1 = boxes[number]
        light[y0:y1, x0:x1] = 0.6 + 0.4 * weight / max(weights)
    picture = (image * light[..., None]).astype(np.uint8)
    for x0, y0, x1, y1 in boxes:
        if x1 > x0 and y1 > y0:
            cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), _GRID, 1)
    x0, y0, x1, y1 = boxes[region]
    cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), _QUERY, 2)
    return picture


def _box(image: np.ndarray, routing: Routing, number: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a region in pixels; padding lies outside and is cut off."""
    row, col = divmod(number, routing.grid[1])
    (high, wide), (height, width) = routing.region_size, routing.map_size
    x0, x1 = (min(round(c * wide * image.shape[1] / width), image.shape[1]) for c in (col, col + 1))
    y0, y1 = (min(round(r * high * image.shape[0] / height), image.shape[0]) for r in (row, row + 1))
    return x0, y0, x1, y1


def routing_sheet(image: np.ndarray, routings: dict[str, Routing],
                  points: list[tuple[float, float]]) -> np.ndarray:
    """One picture for each layer (a row) and each point (a column), on one sheet.

    Args:
        image: ``(H, W, 3)`` uint8, what the network saw.
        routings: From a layer's name to its choice.
        points: (x, y) as fractions of the image's width and height.
    """
    scale = max(1., 240 / max(image.shape[:2]))
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    rows = []
    for name, routing in routings.items():
        row = np.hstack([draw_routing(image, routing, region_at(routing, point)) for point in points])
        title = np.full((22, row.shape[1], 3), 255, np.uint8)
        text = f'{name}: {routing.indices.shape[-1]} of {routing.grid[0]} x {routing.grid[1]} regions'
        cv2.putText(title, text, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
        rows += [title, row]
    return np.vstack(rows)
