"""From counts to refined scores: sections 2 to 4 of the definition, on arrays."""
from __future__ import annotations

import numpy as np

BANDITS = ('none', 'ucb', 'lcb', 'wilson')


def bin_of(scores: np.ndarray, bins: int) -> np.ndarray:
    """(N, ) scores from 0 to 1 -> (N, ) int64 bins; 1 falls into the last one."""
    return np.minimum(np.floor(scores * bins), bins - 1).astype(np.int64)


def area_bin_of(areas: np.ndarray, edges: tuple[float, ...]) -> np.ndarray:
    """(N, ) square pixels -> number of edges that are not larger."""
    return np.searchsorted(np.asarray(edges, np.float64), areas, side='right')


def counted(shape: tuple[int, int, int, int], detector: np.ndarray, label: np.ndarray, area: np.ndarray,
            score: np.ndarray, reward: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number and summed reward of the detections in each cell.

    Args:
        shape: Numbers of detectors M, classes C, area bins A and score bins K.
        detector, label, area, score: (N, ) int64 bins.
        reward: (N, ) float64.

    Returns:
        Two (M, C, A, K) float64 arrays.
    """
    cell = np.ravel_multi_index((detector, label, area, score), shape)
    size = int(np.prod(shape))
    return (np.bincount(cell, minlength=size).astype(np.float64).reshape(shape),
            np.bincount(cell, weights=reward, minlength=size).reshape(shape))


def corrected(count: np.ndarray, reward: np.ndarray, bandit: str, alpha: float, min_count: int,
              monotone: bool, without_objects: np.ndarray | None = None) -> np.ndarray:
    """The value of each cell.

    Args:
        count, reward: (M, C, A, K), see :func:`counted`.
        bandit: One of :data:`BANDITS`.
        alpha: Strength of the correction.
        min_count: A cell with fewer detections asks the class over all areas, then the detector over
            all classes, then takes its score bin's centre.
        monotone: Make each curve rise with the score.
        without_objects: (C, ) bool, classes of which the split has no object: nothing there could be
            right, so that their cells ask the detector over all classes.

    Returns:
        (M, C, A, K) float64 from 0 to 1.
    """
    bins = count.shape[-1]
    own = count >= min_count
    class_count, class_reward = (one.sum(axis=2, keepdims=True) for one in (count, reward))
    whole_count, whole_reward = (one.sum(axis=(1, 2), keepdims=True) for one in (count, reward))
    by_class = class_count >= min_count
    if without_objects is not None:
        kept = ~without_objects[None, :, None, None]
        own, by_class = own & kept, by_class & kept
    rows = [(own, count, reward), (by_class, class_count, class_reward),
            (whole_count >= min_count, whole_count, whole_reward)]
    value = np.broadcast_to((np.arange(bins) + 0.5) / bins, count.shape).copy()
    for enough, n, r in reversed(rows):
        estimate = _estimate(r, n, n.sum(axis=-1, keepdims=True), bandit, alpha)
        value = np.where(enough, estimate, value)
    if monotone:
        weight = np.maximum(count, 1).reshape(-1, bins)
        curves = value.reshape(-1, bins)
        value = np.stack([_rising(*one) for one in zip(curves, weight)]).reshape(count.shape)
    return value


def _estimate(reward: np.ndarray, count: np.ndarray, total: np.ndarray, bandit: str, alpha: float
              ) -> np.ndarray:
    n = np.maximum(count, 1)  # cells with none are not looked at
    p = reward / n
    if bandit == 'wilson':
        square = alpha**2
        spread = alpha * np.sqrt(np.maximum(p * (1 - p), 0) / n + square / (4 * n**2))
        p = (p + square / (2 * n) - spread) / (1 + square / n)
    elif bandit != 'none':
        bonus = alpha * np.sqrt(2 * np.log(np.maximum(total, 1)) / n)
        p = p + bonus if bandit == 'ucb' else p - bonus
    return np.clip(p, 0, 1)


def _rising(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted least squares under the constraint that the values do not fall (pool adjacent violators)."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist()):
        mean, mass, length = value, weight, 1
        while blocks and blocks[-1][0] > mean:
            last, last_mass, last_length = blocks.pop()
            mean = (mean * mass + last * last_mass) / (mass + last_mass)
            mass, length = mass + last_mass, length + last_length
        blocks.append((mean, mass, length))
    return np.repeat([mean for mean, _, _ in blocks], [length for _, _, length in blocks])


def refined(table: np.ndarray, detector: np.ndarray, label: np.ndarray, area: np.ndarray,
            scores: np.ndarray, interpolate: bool, keep_raw: float) -> np.ndarray:
    """The scores by which detections are ranked.

    Args:
        table: (M, C, A, K).
        detector, label, area: (N, ) int64.
        scores: (N, ) float64 from 0 to 1.
        interpolate: Between the centres of score bins; else the bin's value.
        keep_raw: Share of the raw score, which keeps the order within a bin.

    Returns:
        (N, ) float64.
    """
    bins = table.shape[-1]
    if interpolate and bins > 1:
        place = scores * bins - 0.5
        low = np.clip(np.floor(place), 0, bins - 2).astype(np.int64)
        share = np.clip(place - low, 0, 1)
        value = ((1 - share) * table[detector, label, area, low]
                 + share * table[detector, label, area, low + 1])
    else:
        value = table[detector, label, area, bin_of(scores, bins)]
    return (1 - keep_raw) * value + keep_raw * scores
