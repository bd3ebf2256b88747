"""Several data sets with label spaces of their own as one."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.dataset import ConcatDataset

from ..errors import UserError, did_you_mean
from ..registry import DATASETS


@DATASETS.register_module()
class MultiDataset(ConcatDataset):
    """Data sets one after the other, each with its pipeline, its classes and a name.

    Every sample's ``data_samples`` gets the meta keys ``dataset_name`` and ``taxonomy``; labels stay
    those of the sample's own data set. :class:`mmext.MultiDatasetSampler` mixes them,
    :class:`mmext.MultiDatasetMetric` evaluates each by itself.

    Args:
        datasets: A list of ``dict(name=..., dataset=<config>, taxonomy=...)``. ``taxonomy`` is the name of
            the label space, the data set's own name by default; data sets that share one have the same
            classes.
        lazy_init: Leave reading the annotations for later.

    Attributes:
        metainfo (dict): ``taxonomies``, classes by taxonomy; ``dataset_taxonomies``, taxonomy by data set;
            ``datasets``, the metainfo of each by name; ``classes``, every class name once, in the order
            of the taxonomies.

    Raises:
        UserError: If a name is missing or there twice, a data set has no classes, or two that share
            a taxonomy differ in it.

    Example:
        >>> dict(type='mmext.MultiDataset', datasets=[
        ...     dict(name='coco', dataset=dict(type='mmdet.CocoDataset', ...)),
        ...     dict(name='voc07', taxonomy='voc', dataset=dict(type='mmdet.VOCDataset', ...)),
        ...     dict(name='voc12', taxonomy='voc', dataset=dict(type='mmdet.VOCDataset', ...))])
    """

    def __init__(self, datasets: Sequence[dict[str, Any]], lazy_init: bool = False) -> None:
        self.names: list[str] = []
        self.taxonomies: list[str] = []
        self.datasets: list[Any] = []
        self.ignore_keys: list[str] = []
        if not datasets:
            raise UserError('MultiDataset needs at least one data set')
        for index, entry in enumerate(datasets):
            name, taxonomy, config = _parts(index, entry)
            if name in self.names:
                raise UserError(f"MultiDataset: two data sets are called '{name}'")
            self.names.append(name)
            self.taxonomies.append(taxonomy)
            self.datasets.append(DATASETS.build(config) if isinstance(config, dict) else config)
        self._metainfo = self._collect()
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    def _collect(self) -> dict[str, Any]:
        """The metainfo, see the class."""
        found: dict[str, tuple[str, ...]] = {}
        first: dict[str, str] = {}
        for name, taxonomy, dataset in zip(self.names, self.taxonomies, self.datasets):
            classes = dataset.metainfo.get('classes')
            if not classes:
                raise UserError(f"MultiDataset: '{name}' has no classes in its metainfo")
            classes = (classes, ) if isinstance(classes, str) else tuple(classes)
            if found.setdefault(taxonomy, classes) != classes:
                other = first[taxonomy]
                raise UserError(f"MultiDataset: '{name}' and '{other}' share the taxonomy '{taxonomy}', but "
                                f'their classes differ: {len(classes)} ({classes[0]}, ...) and '
                                f'{len(found[taxonomy])} ({found[taxonomy][0]}, ...)')
            first.setdefault(taxonomy, name)
        joint = tuple(dict.fromkeys(label for classes in found.values() for label in classes))
        return dict(classes=joint, taxonomies=found,
                    dataset_taxonomies=dict(zip(self.names, self.taxonomies)),
                    datasets={name: dataset.metainfo for name, dataset in zip(self.names, self.datasets)})

    def __getitem__(self, idx: int) -> dict[str, Any]:
        """A sample with the name of its data set and of its taxonomy."""
        sample = super().__getitem__(idx)
        which, _ = self._get_ori_dataset_idx(idx)
        tags = dict(dataset_name=self.names[which], taxonomy=self.taxonomies[which])
        if 'data_samples' in sample:
            several = sample['data_samples']  # a list where the pipeline augments for a test
            for one in several if isinstance(several, list) else [several]:
                one.set_metainfo(tags)
        else:
            sample.update(tags)
        return sample


def _parts(index: int, entry: Any) -> tuple[str, str, Any]:
    """Name, taxonomy and data set of one entry."""
    where = f'MultiDataset: datasets[{index}]'
    keys = ('name', 'dataset', 'taxonomy')
    if not isinstance(entry, dict):
        raise UserError(f'{where} is a {type(entry).__name__}: expected dict(name=..., dataset=...)')
    for key in entry:
        if key not in keys:
            raise UserError(f"{where} has the unknown key '{key}'{did_you_mean(key, keys)} A data set's own "
                            "arguments go into dataset=dict(...)")
    name = entry.get('name')
    if not isinstance(name, str) or not name or '/' in name:
        raise UserError(f'{where}: name={name!r}; expected a name without a slash, it becomes the prefix of '
                        'the metrics')
    if 'dataset' not in entry:
        raise UserError(f"{where} ('{name}') has no dataset=dict(type=..., ...)")
    return name, entry.get('taxonomy') or name, entry['dataset']
