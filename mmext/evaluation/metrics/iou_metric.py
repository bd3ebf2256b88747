"""mmseg's IoU metric with what a segmentation result needs besides three figures."""
from __future__ import annotations

import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import MMLogger
from mmseg.evaluation import IoUMetric as HostMetric

from ...apis.writers import replacing
from ...errors import UserError
from ...registry import METRICS


@METRICS.register_module()
class IoUMetric(HostMetric):
    """:class:`mmseg.IoUMetric` that checks the labels, names classes and packs a submission.

    The figures are mmseg's. mmseg counts labels that are no class nowhere, so that a data set read
    with the wrong ``reduce_zero_label`` merely scores badly; here that is an error.

    Args:
        classwise: Also return the values of each class, ``IoU.<class>`` and so on; NaN for a class that
            neither truth nor prediction has.
        archive: Pack the pictures in ``output_dir`` into ``<output_dir>.zip``, for the ADE20K server.
        **kwargs: As for :class:`mmseg.IoUMetric`.

    Attributes:
        class_figures (dict[str, list[float]]): After an evaluation, the values of each class in percent,
            by figure ('IoU', 'Acc', ...).

    Raises:
        UserError: If ``archive`` is without ``output_dir``; while evaluating for labels or predictions
            beyond the classes, samples without ground truth, more classes than a picture of
            ``output_dir`` can tell apart, and no results at all.

    Example:
        >>> dict(type='mmext.IoUMetric', iou_metrics=['mIoU'], classwise=True)
    """

    def __init__(self, *, classwise: bool = False, archive: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if archive and not self.output_dir:
            raise UserError('archive=True needs output_dir, where the pictures go')
        self.classwise = classwise
        self.archive = archive
        self.class_figures: dict[str, list[float]] = {}

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Check the labels and predictions of one batch, then count as mmseg does."""
        classes = len((self.dataset_meta or {})['classes'])
        for sample in data_samples:
            name = sample.get('seg_map_path') or sample.get('img_path', 'a sample')
            shifted = bool(sample.get('reduce_zero_label', False))
            if self.output_dir and classes + shifted > 256:
                raise UserError(f'output_dir: {classes} classes do not fit into 8-bit pictures')
            highest = int(sample['pred_sem_seg']['data'].max())
            if highest >= classes:
                raise UserError(f'{name}: predicted label {highest}, but the data set has {classes} '
                                'classes; does num_classes of the head fit?')
            if not self.format_only:
                self._check_truth(sample, str(name), classes, shifted)
            super().process(data_batch, [sample])

    def _check_truth(self, sample: dict, name: str, classes: int, shifted: bool) -> None:
        if 'gt_sem_seg' not in sample:
            raise UserError(f'{name}: no ground truth; is LoadAnnotations missing in the pipeline? Without '
                            'labels use format_only=True')
        labels = sample['gt_sem_seg']['data']
        labels = labels[labels != self.ignore_index]
        highest = int(labels.max()) if labels.numel() else -1
        if highest >= classes:
            hint = ('labels that start at 1, as in ADE20K, need reduce_zero_label=True in the data set'
                    if highest == classes and not shifted else 'are these labels of another data set?')
            raise UserError(f'{name}: label {highest}, but the data set has {classes} classes (0 to '
                            f'{classes - 1}, ignored: {self.ignore_index}); {hint}')

    def compute_metrics(self, results: list) -> dict[str, float]:
        """mmseg's figures and table, those of the classes if asked for, and the archive."""
        if self.archive:
            self._pack()
        if self.format_only:
            return super().compute_metrics(results)
        if not results:
            raise UserError('IoUMetric has no results: is the data set empty?')
        figures = OrderedDict(super().compute_metrics(results))
        names = (self.dataset_meta or {})['classes']
        intersect, union, predicted, labelled = (sum(column) for column in zip(*results))
        if labelled[-1] == 0 and labelled[0] > 0 and len(names) > 2:
            MMLogger.get_current_instance().warning(
                f"no picture has the last class, '{names[-1]}'; if the labels start at 0, "
                'reduce_zero_label must be False')
        table = self.total_area_to_metrics(intersect, union, predicted, labelled, self.metrics,
                                           self.nan_to_num, self.beta)
        table.pop('aAcc')
        self.class_figures = {key: [round(float(value) * 100, 2) for value in values]
                              for key, values in table.items()}
        if self.classwise:
            for key, values in self.class_figures.items():
                figures.update((f'{key}.{name}', value) for name, value in zip(names, values))
        return figures

    def _pack(self) -> None:
        folder = Path(self.output_dir)
        pictures = sorted(folder.glob('*.png'))
        if not pictures:
            raise UserError(f"output_dir: there are no pictures in '{folder}'")
        with (replacing(folder.with_name(f'{folder.name}.zip')) as path,
              zipfile.ZipFile(path, 'w', zipfile.ZIP_STORED) as out):
            for picture in pictures:  # PNG does not shrink further
                out.write(picture, picture.name)
