"""Examine every dataset of a config."""
from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ...engine.config_check.datasets import DatasetConfig, find_datasets, is_remote
from ...engine.config_check.resolve import Resolver
from .coco import examine_coco
from .dota import examine_dota
from .finding import DatasetReport, Finding, counted, quoted
from .folders import examine_folders
from .scan import Scan
from .segmentation import examine_segmentation

#: The class that reads the annotations -> the checks for its format.
_FORMATS = {
    'mmdet.datasets.coco.CocoDataset': 'coco',
    'mmdet.datasets.objects365.Objects365V1Dataset': 'coco',
    'mmrotate.datasets.dota.DOTADataset': 'dota',
    'mmext.datasets.dota.RawDOTADataset': 'raw dota',
    'mmseg.datasets.basesegdataset.BaseSegDataset': 'segmentation',
    'mmpretrain.datasets.custom.CustomDataset': 'folders',
}


def examine_config(cfg: Any, phases: Sequence[str] = ('train', 'val', 'test'), full: bool = False,
                   use_cache: bool = True) -> list[DatasetReport]:
    """Examine the datasets of ``cfg`` as it will read them.

    Args:
        cfg: A loaded config (or plain dicts) without errors in its structure.
        phases: Whose datasets.
        full: Decode every label map, not a sample.
        use_cache: Whether results of files that have not changed are taken from the cache.

    Returns:
        A report per dataset; one that several phases share is there once.
    """
    tree = cfg.to_dict() if hasattr(cfg, 'to_dict') else cfg
    scope = tree.get('default_scope') or 'mmengine'
    resolver = Resolver()
    reports: dict[str, DatasetReport] = {}
    training: set[str] = set()
    for phase in phases:
        loader = tree.get(f'{phase}_dataloader')
        value = loader.get('dataset') if isinstance(loader, Mapping) else None
        for dataset in find_datasets(f'{phase}_dataloader.dataset', value, scope, resolver):
            key = f'{phase == "train"} {_identity(dataset, full)}'
            if key in reports:
                continue
            report = reports[key] = examine(dataset, phase, full, use_cache)
            if phase == 'train':
                training.update(map(os.path.realpath, report.images))
            else:
                report.add(_shared(report, training))
    return list(reports.values())


def examine(dataset: DatasetConfig, phase: str = 'train', full: bool = False,
            use_cache: bool = True) -> DatasetReport:
    """Examine one dataset.

    Args:
        dataset: Its place, settings and class.
        phase: 'train', 'val' or 'test'; the last may do without annotations, and so may what is loaded
            with ``LoadEmptyAnnotations``.
        full: Decode every label map, not a sample.
        use_cache: Whether the cache may be read and written.
    """
    report = DatasetReport(dataset.path, getattr(dataset.cls, '__name__', str(dataset.cls)))
    kind = _format(dataset.cls)
    if kind is None or is_remote(dataset.cfg):
        report.note = 'its files are not on this machine' if kind else 'no checks for this kind'
        return report
    # The unlabelled images of a semi-supervised training have no annotations either.
    annotated = phase != 'test' and _loader(dataset.cfg.get('pipeline'), 'LoadEmptyAnnotations') is None
    scan = Scan(f'{_identity(dataset, full)}\n{not annotated}\n{os.getcwd()}', use_cache)
    earlier = scan.earlier_result()
    if earlier is not None:
        report.summary, report.images, report.cached = earlier['summary'], earlier['images'], True
        report.add(map(Finding.from_dict, earlier['findings']))
        return report
    try:
        opened = _open(dataset)
    except Exception as error:  # whatever the host's constructor makes of its arguments
        report.add([Finding('not-built', f'cannot be built: {type(error).__name__}: {error}')])
        return report
    report.add(_findings(kind, opened, dataset, scan, report, annotated, full))
    report.images = sorted(scan.images())
    scan.store(dict(summary=report.summary, images=report.images,
                    findings=[asdict(one) for one in report.findings]))
    return report


def _findings(kind: str, opened: Any, dataset: DatasetConfig, scan: Scan, report: DatasetReport,
              annotated: bool, full: bool) -> Iterator[Finding]:
    load = _loader(dataset.cfg.get('pipeline'))
    if kind == 'coco':
        masks = bool(load and load.get('with_mask'))
        yield from examine_coco(opened, scan, report.summary, annotated, masks)
    elif kind in ('dota', 'raw dota'):
        yield from examine_dota(opened, scan, report.summary, annotated, kind == 'raw dota')
    elif kind == 'segmentation':
        pipeline = dataset.cfg.get('pipeline') or []
        relabelled = any(isinstance(one, Mapping) and one.get('type') == 'mmext.Relabel' for one in pipeline)
        yield from examine_segmentation(opened, scan, report.summary, full, load, relabelled)
    else:
        yield from examine_folders(opened, scan, report.summary)


def _format(cls: Any) -> str | None:
    """Which checks fit: decided by the class whose ``load_data_list`` is used."""
    for base in getattr(cls, '__mro__', ()):
        if 'load_data_list' in base.__dict__:
            return _FORMATS.get(f'{base.__module__}.{base.__qualname__}')
    return None


def _open(dataset: DatasetConfig) -> Any:
    """The host's dataset with its paths joined and nothing read."""
    settings = {key: value for key, value in dataset.cfg.items() if key not in ('type', '_scope_')}
    return dataset.cls(**{**settings, 'pipeline': [], 'lazy_init': True})


def _loader(pipeline: Any, name: str = 'LoadAnnotations') -> Mapping[str, Any] | None:
    """Settings of the pipeline's transform of that name, those inside other transforms included."""
    if isinstance(pipeline, (list, tuple)):
        for one in pipeline:
            found = _loader(one, name)
            if found is not None:
                return found
    elif isinstance(pipeline, Mapping):
        if str(pipeline.get('type')).rpartition('.')[2] == name:
            return pipeline
        return _loader([one for one in pipeline.values() if isinstance(one, (list, tuple))], name)
    return None


def _identity(dataset: DatasetConfig, full: bool) -> str:
    settings = {key: value for key, value in dataset.cfg.items() if key != 'pipeline'}
    load = _loader(dataset.cfg.get('pipeline'))
    return json.dumps([str(dataset.cls), settings, load, full], sort_keys=True, default=str)


def _shared(report: DatasetReport, training: set[str]) -> Iterator[Finding]:
    common = [path for path in report.images if os.path.realpath(path) in training]
    if common:
        names = [os.path.basename(path) for path in common]
        yield Finding('also-trained-on', f'{counted(len(common), "image", len(report.images))} also in '
                      f'the training data: {quoted(names, 3)}; its results will be too good',
                      'warning', len(common))
