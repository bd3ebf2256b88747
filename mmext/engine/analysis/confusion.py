"""Confusion between classes, pixel by pixel."""
from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError


def pixel_confusion(pairs: Iterable[tuple[np.ndarray, np.ndarray]], classes: int) -> np.ndarray:
    """Count pixels by true and predicted class.

    Args:
        pairs: Truth and prediction of each picture, integer arrays of one shape. Truth outside
            0 .. ``classes`` - 1 is ignored.
        classes: Number of classes.

    Returns:
        (classes, classes) int64; rows are the truth, columns the prediction.

    Raises:
        UserError: If a prediction's shape or labels cannot belong to the truth.
    """
    matrix = np.zeros((classes, classes), np.int64)
    for truth, predicted in pairs:
        if truth.shape != predicted.shape:
            raise UserError(f'a predicted label map has shape {predicted.shape}, its truth '
                            f'{truth.shape}')
        # 64 bits before the product: label maps are 8-bit, and classes * label overflows there.
        valid = (truth >= 0) & (truth < classes)
        true, said = truth[valid].astype(np.int64), predicted[valid].astype(np.int64)
        if said.size and not 0 <= said.min() <= said.max() < classes:
            raise UserError(f'a prediction has labels {said.min()} to {said.max()}; expected 0 to '
                            f'{classes - 1}')
        matrix += np.bincount(classes * true + said, minlength=classes**2).reshape(classes, classes)
    return matrix


def predicted_label_maps(path: Path, shifted: bool) -> dict[str, Callable[[], np.ndarray]]:
    """Readers of predicted label maps, by the stem of the picture's file name.

    Args:
        path: A ``.pkl`` of ``mmext test --out``, the ``predictions.json`` of ``mmext infer``, or a
            folder of PNGs that mmseg's ``IoUMetric(output_dir=...)`` wrote.
        shifted: Labels in such a folder start at 1 (mmseg writes them so for data sets with
            ``reduce_zero_label``).

    Raises:
        UserError: If it is none of these.
    """
    from PIL import Image

    def png(file: Path, first: int = 0) -> Callable[[], np.ndarray]:
        return lambda: np.asarray(Image.open(file)).astype(np.int64) - first

    if path.is_dir():
        return {file.stem: png(file, int(shifted)) for file in sorted(path.glob('*.png'))}
    if path.suffix == '.json' and path.is_file():
        records = json.loads(path.read_text(encoding='utf-8')).get('images', [])
        return {Path(record['file']).stem: png(path.parent / record['label_map'])
                for record in records if 'label_map' in record}
    if path.suffix == '.pkl' and path.is_file():
        from mmengine.fileio import load

        def held(record: Any) -> Callable[[], np.ndarray]:
            return lambda: np.asarray(record['pred_sem_seg']['data']).squeeze(0)

        return {Path(record['img_path']).stem: held(record) for record in load(str(path))
                if 'pred_sem_seg' in record}
    raise UserError(f"no predictions at '{path}': expected the .pkl of a test, the "
                    'predictions.json of infer, or a folder of label maps')


def truth_and_prediction(dataset: Any, predictions: dict[str, Callable[[], np.ndarray]]
                         ) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Pair the pictures of an mmseg data set with their predictions.

    Raises:
        UserError: If a picture has no prediction, or the pipeline loads no annotations.
    """
    stems = [Path(dataset.get_data_info(i)['img_path']).stem for i in range(len(dataset))]
    missing = [stem for stem in stems if stem not in predictions]
    if missing:
        raise UserError(f'{len(missing)} of {len(stems)} pictures have no prediction, for example '
                        f"{', '.join(missing[:3])}")
    for i, stem in enumerate(stems):
        sample = dataset[i]['data_samples']
        if 'gt_sem_seg' not in sample:
            raise UserError('the test pipeline loads no annotations (LoadAnnotations is missing)')
        yield sample.gt_sem_seg.data.squeeze(0).numpy(), predictions[stem]()


def draw_confusion(matrix: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Draw a confusion matrix, each row in percent of its truth.

    Args:
        matrix: (N, N) counts; rows are the truth.
        names: N class names.
        path: Image file to write.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator

    totals = matrix.sum(axis=1, keepdims=True)
    percent = 100 * matrix / np.maximum(totals, 1)
    side = min(2 + 0.5 * len(names), 24)
    figure = Figure(figsize=(side + 1.5, side), dpi=150, layout='constrained')
    axes = figure.add_subplot()
    image = axes.imshow(percent, cmap='viridis', vmin=0, vmax=100)
    figure.colorbar(image, ax=axes, label='% of the true class')
    font = max(2.0, min(9.0, 420 / len(names)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(range(len(names))))
    axes.set_xticklabels(names, rotation=90, fontsize=font)
    axes.set_yticklabels(names, fontsize=font)
    axes.set_xlabel('predicted')
    axes.set_ylabel('true')
    if len(names) <= 40:  # beyond that the numbers could not be read
        for row, column in np.ndindex(*percent.shape):
            if totals[row, 0]:
                colour = 'black' if percent[row, column] > 60 else 'white'
                axes.text(column, row, f'{percent[row, column]:.0f}', ha='center', va='center',
                          color=colour, fontsize=font)
    figure.savefig(path)
