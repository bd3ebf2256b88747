"""A config's test pipeline, made to run on pictures that have no annotations."""
from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from .inputs import why_unreadable

# Transforms that only prepare annotations; a picture from a user has none. Test pipelines have
# them for the evaluator's sake.
_ANNOTATION_STEPS = re.compile(
    r'Load\w*(Annotation|Proposal|Panoptic|Depth|Caption|Text)\w*|FilterAnnotations|ConvertBoxType')
_IMAGE_LOADER = re.compile(r'Load\w*Image\w*|InferencerLoader')


def is_annotation_step(name: str) -> bool:
    """Whether a transform of this class name only prepares annotations."""
    return _ANNOTATION_STEPS.fullmatch(name) is not None


class UnreadableImage(Exception):
    """An input could not be read as an image; the message says why."""


def test_dataset(cfg: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """The innermost dataset of ``cfg.test_dataloader``.

    Wrappers (Repeat, ClassBalanced, Concat: its first) are taken off.

    Returns:
        The dataset's config, and the scope in which its unprefixed names resolve: that of the
        package whose config it comes from, or None for the config's own.

    Raises:
        UserError: If the config has no test data.
    """
    loader = cfg.get('test_dataloader')
    dataset = loader.get('dataset') if isinstance(loader, Mapping) else None
    if not isinstance(dataset, Mapping):
        raise UserError('the config has no test_dataloader.dataset: its pipeline says how an image '
                        'is prepared for the model, and its metainfo names the classes')
    scope = dataset.get('_scope_')
    while 'pipeline' not in dataset or 'dataset' in dataset:
        inner = dataset.get('dataset') or next(iter(dataset.get('datasets') or ()), None)
        if not isinstance(inner, Mapping):
            raise UserError('test_dataloader.dataset has no pipeline')
        dataset = inner
        scope = dataset.get('_scope_', scope)
    return dict(dataset), scope


def dataset_meta(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Class names and colours that the test dataset's class and ``metainfo`` state.

    No annotation is read. Empty for datasets that learn their classes from files.
    """
    from mmengine.registry import DATASETS
    dataset, scope = test_dataset(cfg)
    with DATASETS.switch_scope_and_registry(scope) as registry:
        kind = dataset['type']
        cls = kind if isinstance(kind, type) else registry.get(kind)
    stated = dict(dataset.get('metainfo') or {})
    if isinstance(dataset.get('classes'), list | tuple):  # mmpretrain's shorthand
        stated['classes'] = tuple(dataset['classes'])
    if not hasattr(cls, '_load_metainfo'):
        return stated
    return dict(cls._load_metainfo(stated or None))


class TestPipeline:
    """Prepares one picture as the config's test pipeline does.

    Steps that read or convert annotations are left out; everything else, and the order, is the
    config's.

    Args:
        cfg: A whole config.
        classes: Class names, handed to models that take them as text.

    Raises:
        UserError: If the config has no test pipeline that reads an image.
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name

    def __init__(self, cfg: Mapping[str, Any], classes: tuple[str, ...] | None = None) -> None:
        from mmengine.dataset import Compose
        from mmengine.registry import TRANSFORMS
        dataset, scope = test_dataset(cfg)
        steps = [copy.deepcopy(dict(step)) for step in dataset['pipeline']]
        for step in steps:
            if scope is not None:
                step.setdefault('_scope_', scope)
        names = [_name(step) for step in steps]
        at = next((i for i, name in enumerate(names) if _IMAGE_LOADER.fullmatch(name)
                   and not is_annotation_step(name)), None)
        if at is None:
            raise UserError('the test pipeline reads no image: expected a step such as '
                            f"LoadImageFromFile, found {', '.join(names) or 'none'}")
        self.loader = TRANSFORMS.build(steps[at])
        rest = [step for i, step in enumerate(steps)
                if i != at and not is_annotation_step(names[i])]
        self.transforms = Compose(rest)
        # Models that take class names as text get them from the dataset (``return_classes``).
        self.extra: dict[str, Any] = {}
        if dataset.get('return_classes') and classes:
            self.extra = dict(text=tuple(classes), custom_entities=True)

    def __call__(self, source: str | Path | np.ndarray, index: int = 0
                 ) -> tuple[np.ndarray, dict[str, Any]]:
        """Read and prepare one picture.

        Args:
            source: A path, or an HWC BGR array.
            index: Used as the picture's ``img_id``.

        Returns:
            The picture as read (HWC or HW), and what the pipeline packed (``inputs`` and
            ``data_samples``).

        Raises:
            UnreadableImage: If ``source`` is no image.
        """
        results = self._load(source)
        image = np.array(results['img'])
        results.update(self.extra, img_id=index)
        packed = self.transforms(results)
        if packed is None:
            raise UnreadableImage('the test pipeline rejected it')
        return image, packed

    def _load(self, source: str | Path | np.ndarray) -> dict[str, Any]:
        if isinstance(source, np.ndarray):
            if source.ndim not in (2, 3) or not source.size:
                raise UnreadableImage(f'expected an HWC image, got shape {source.shape}')
            dtype = np.float32 if getattr(self.loader, 'to_float32', False) else source.dtype
            size = source.shape[:2]
            return dict(img=source.astype(dtype, copy=True), img_path=None, img_shape=size,
                        ori_shape=size)
        try:
            results = self.loader(dict(img_path=str(source)))
        except Exception as error:  # decoders raise what they like
            raise UnreadableImage(why_unreadable(Path(source))) from error
        if results is None or results.get('img') is None:
            raise UnreadableImage(why_unreadable(Path(source)))
        return results


def _name(step: Mapping[str, Any]) -> str:
    kind = step['type']
    return kind.__name__ if isinstance(kind, type) else str(kind).rpartition('.')[2]
