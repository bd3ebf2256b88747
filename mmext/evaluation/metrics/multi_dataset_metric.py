"""Evaluation of several data sets in one pass, each by its own metrics."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.evaluator import BaseMetric

from ...errors import UserError, did_you_mean
from ...registry import METRICS


@METRICS.register_module()
class MultiDatasetMetric(BaseMetric):
    """The metrics of every data set of a :class:`mmext.MultiDataset`.

    A sample goes to the metrics of its ``dataset_name``; a figure is called
    ``<data set>/<prefix of the metric>/<figure>``, for example ``coco/coco/bbox_mAP``.

    Args:
        by_dataset: Metrics by name of the data set, a config or a list of them.
        collect_device: See :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        UserError: If there are no metrics; while evaluating for samples of a data set without metrics, for
            two metrics with the same figure, and for data sets that no sample came from.

    Example:
        >>> val_evaluator = dict(type='mmext.MultiDatasetMetric', by_dataset=dict(
        ...     coco=dict(type='mmext.CocoMetric', ann_file='...'),
        ...     voc=dict(type='mmdet.VOCMetric')))
    """

    default_prefix = None

    def __init__(self, by_dataset: Mapping[str, Any], collect_device: str = 'cpu') -> None:
        super().__init__(collect_device=collect_device)
        if not by_dataset:
            raise UserError('MultiDatasetMetric needs by_dataset=dict(<data set>=dict(type=...), ...)')
        self.metrics: dict[str, list[BaseMetric]] = {}
        for name, configs in by_dataset.items():
            several = configs if isinstance(configs, Sequence) else [configs]
            self.metrics[name] = [METRICS.build(one) if isinstance(one, Mapping) else one for one in several]

    @property
    def dataset_meta(self) -> dict | None:
        """Metainfo of the :class:`mmext.MultiDataset`; each metric gets that of its data set."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict | None) -> None:
        self._dataset_meta = dataset_meta
        if dataset_meta is None:
            return
        known = dataset_meta.get('datasets')
        if known is None:
            raise UserError('MultiDatasetMetric needs an mmext.MultiDataset to evaluate')
        for name, metrics in self.metrics.items():
            if name not in known:
                raise UserError(f"MultiDatasetMetric: there is no data set '{name}'"
                                f'{did_you_mean(name, known)} (there are {", ".join(known)})')
            for metric in metrics:
                metric.dataset_meta = known[name]

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Give every sample to the metrics of its data set.

        Results stay in the order of the samples, because mmengine collects them from all processes
        by position.
        """
        for index, sample in enumerate(data_samples):
            name = sample.get('dataset_name')
            if name not in self.metrics:
                if name is None:
                    raise UserError('MultiDatasetMetric: a sample has no dataset_name; is the data set an '
                                    'mmext.MultiDataset?')
                raise UserError(f"MultiDatasetMetric has no metrics for the data set '{name}': it has "
                                f'{", ".join(self.metrics)}')
            one = {key: value[index:index + 1] for key, value in data_batch.items()} \
                if isinstance(data_batch, Mapping) else data_batch
            found = []
            for metric in self.metrics[name]:
                metric.process(one, [sample])
                found.append(list(metric.results))
                metric.results.clear()
            self.results.append([name, found])

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The figures of all data sets."""
        figures: dict[str, float] = {}
        for name, metrics in self.metrics.items():
            of_dataset = [found for which, found in results if which == name]
            if not of_dataset:
                raise UserError(f"MultiDatasetMetric: no sample came from '{name}'; is it in the data "
                                'loader?')
            for index, metric in enumerate(metrics):
                rows = [row for found in of_dataset for row in found[index]]
                for key, value in metric.compute_metrics(rows).items():
                    full = '/'.join(part for part in (name, metric.prefix, key) if part)
                    if full in figures:
                        raise UserError(f"MultiDatasetMetric: two metrics of '{name}' give '{key}': give one "
                                        'of them a prefix')
                    figures[full] = value
        return figures
