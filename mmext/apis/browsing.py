"""A dataset's samples as a person can look at them: before, after and along the pipeline."""
from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..datasets import toy
from ..errors import UserError
from .drawing import Painter, as_picture
from .pipeline import is_annotation_step

MODES = ('original', 'transformed', 'concat', 'pipeline')
_PACK = dict(mmdet='mmdet.PackDetInputs', mmrotate='mmdet.PackDetInputs',
             mmseg='mmseg.PackSegInputs', mmpretrain='mmpretrain.PackInputs')


@dataclass
class Stage:
    """A sample after one step of its pipeline: ``results`` is the host's dictionary."""

    name: str
    results: dict[str, Any]


@dataclass
class View:
    """A picture of a sample.

    Attributes:
        index: The sample's place in the dataset.
        name: File name of its image, or its index.
        picture: HWC, BGR, uint8, with the ground truth drawn.
    """

    index: int
    name: str
    picture: np.ndarray


class Browser:
    """Draws the samples of one of a config's datasets.

    Args:
        cfg: A whole config; its default scope must be the current one.
        phase: ``'train'``, ``'val'`` or ``'test'``.
        rgb: The pipeline's pictures are RGB (those that go through PIL are).

    Raises:
        UserError: If the config has no such data, or the files are not there.
    """

    def __init__(self, cfg: Mapping[str, Any], phase: str, rgb: bool = False) -> None:
        from mmengine.registry import DATASETS, TRANSFORMS
        loader = cfg.get(f'{phase}_dataloader')
        if not isinstance(loader, Mapping) or not loader.get('dataset'):
            have = [other for other in ('train', 'val', 'test') if cfg.get(f'{other}_dataloader')]
            raise UserError(f'the config has no {phase}_dataloader.dataset '
                            f"(phases it has: {', '.join(have) or 'none'})")
        problem = toy.missing(loader)
        if problem:
            raise UserError(problem)
        try:
            self.dataset = DATASETS.build(copy.deepcopy(loader['dataset']))
            if hasattr(self.dataset, 'full_init'):
                self.dataset.full_init()
        except (OSError, ImportError, ValueError) as error:
            raise UserError(f'cannot read the {phase} data: {error}') from error
        if not len(self.dataset):
            raise UserError(f'the {phase} data has no samples (after its filters)')
        scope = cfg.get('default_scope', '')
        self.pack = TRANSFORMS.build(dict(type=_PACK.get(scope, _PACK['mmdet'])))
        self.painter = Painter(cfg, self.dataset.metainfo)
        self.rgb = rgb

    def views(self, mode: str, count: int, seed: int = 0) -> Iterator[View]:
        """Pictures of ``count`` samples, evenly spaced over the dataset.

        Samples that the pipeline rejects (no object left) are passed over.

        Args:
            mode: ``'original'``: as annotated; ``'transformed'``: as the model sees it;
                ``'concat'``: both; ``'pipeline'``: after every step.
            count: How many at most.
            seed: Of the augmentations.
        """
        import torch
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        total = len(self.dataset)
        for index in np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist():
            stages = self.stages(index)
            if stages is not None:
                yield View(index, self._file_name(stages, index), self._picture(stages, mode))

    def stages(self, index: int) -> list[Stage] | None:
        """A sample after every step of its pipeline, or None if the pipeline rejects it."""
        dataset, index = _innermost(self.dataset, index)
        if not hasattr(dataset, 'prepare_data'):  # mixes several images of the dataset inside
            inner, final = dataset.dataset[index], dataset[index]
            if inner is None or final is None:
                return None
            return [Stage('loaded', copy.deepcopy(inner)), Stage('mixed', final)]
        results, stages = dataset.get_data_info(index), []
        for step in dataset.pipeline.transforms:
            results = step(results)
            if results is None:
                return None
            stages.append(Stage(type(step).__name__, copy.deepcopy(results)))
        return stages

    def _picture(self, stages: Sequence[Stage], mode: str) -> np.ndarray:
        original, final = _original(stages), stages[-1].results
        late = _annotations_come_late(stages)
        if mode == 'original':
            return self._draw(original, late)[0][1]
        if mode == 'transformed':
            return _side_by_side([picture for _, picture in self._draw(final, late)])
        if mode == 'concat':
            panels = [('original', self._draw(original, late)[0][1]),
                      *((title or 'transformed', p) for title, p in self._draw(final, late))]
        else:
            panels = [(f'{stage.name} {title}'.rstrip(), picture) for stage in stages
                      for title, picture in self._draw(stage.results, late)]
        return _side_by_side([_titled(title, picture) for title, picture in panels])

    def _draw(self, results: Mapping[str, Any], late: bool) -> list[tuple[str, np.ndarray]]:
        """Pictures of a stage; more than one where the pipeline makes several views."""
        pictures = []
        packed = results if 'inputs' in results else self.pack(copy.deepcopy(dict(results)))
        for title, inputs, sample in _unpacked(packed, ''):
            image = _to_image(inputs)
            if self.rgb:
                image = image[..., ::-1]
            if late:
                image = _original_size(image, sample)
            pictures.append((title, self.painter.paint(image, _plain(sample), truth=True)))
        return pictures

    @staticmethod
    def _file_name(stages: Sequence[Stage], index: int) -> str:
        path = next((stage.results['img_path'] for stage in stages
                     if stage.results.get('img_path')), None)
        return str(path).replace('\\', '/').rpartition('/')[2] if path else str(index)


def _innermost(dataset: Any, index: int) -> tuple[Any, int]:
    """The dataset that runs a pipeline for ``index``, and the index in it."""
    while hasattr(dataset, '_get_ori_dataset_idx'):
        found = dataset._get_ori_dataset_idx(index)
        if isinstance(found, tuple):
            dataset, index = dataset.datasets[found[0]], found[1]
        else:
            dataset, index = dataset.dataset, found
    return dataset, index


def _original(stages: Sequence[Stage]) -> dict[str, Any]:
    """The image as loaded with the annotations as loaded."""
    loaded = next((stage.results for stage in stages if 'img' in stage.results), None)
    if loaded is None:
        return stages[-1].results
    steps = [i for i, stage in enumerate(stages) if is_annotation_step(stage.name)]
    truth = stages[steps[-1]].results if steps else loaded
    if 'img' not in truth:
        return loaded
    shape = dict(img=loaded['img'], img_shape=loaded['img'].shape[:2])
    return {**truth, **shape} if _annotations_come_late(stages) else truth


def _annotations_come_late(stages: Sequence[Stage]) -> bool:
    """Whether annotations are loaded after the image has been resized.

    Test pipelines do that: predictions are scaled back before they meet the ground truth.
    """
    image = next((i for i, stage in enumerate(stages) if 'img' in stage.results), 0)
    truth = [i for i, stage in enumerate(stages) if is_annotation_step(stage.name)]
    between = stages[image + 1:truth[0]] if truth else ()
    return any('scale_factor' in stage.results for stage in between)


def _unpacked(packed: Mapping[str, Any], title: str) -> Iterator[tuple[str, Any, Any]]:
    """(title, inputs, sample) of every view in what a pipeline packed."""
    inputs, sample = packed['inputs'], packed['data_samples']
    if isinstance(inputs, Mapping):
        for branch, value in inputs.items():
            if value is not None:
                yield from _unpacked(dict(inputs=value, data_samples=sample[branch]), branch)
    elif isinstance(inputs, list | tuple):
        for i, value in enumerate(inputs):
            one = sample[i] if isinstance(sample, list | tuple) else sample
            yield f'{title} view {i + 1}'.strip(), value, one
    else:
        yield title, inputs, sample


def _to_image(inputs: Any) -> np.ndarray:
    """A packed CHW tensor as an HWC uint8 image; normalised ones are stretched to 0..255."""
    image = inputs.permute(1, 2, 0).numpy()
    if image.dtype.kind == 'f' and (image.min() < 0 or image.max() <= 1):
        low, high = float(image.min()), float(image.max())
        image = (image - low) / max(high - low, 1e-6) * 255
    return as_picture(image)


def _original_size(image: np.ndarray, sample: Any) -> np.ndarray:
    """Undo a resize (and padding at the right and bottom), so that the image fits its truth."""
    import cv2
    meta = sample.metainfo
    if 'ori_shape' not in meta or 'scale_factor' not in meta:
        return image
    height, width = meta['ori_shape'][:2]
    scale_x, scale_y = meta['scale_factor'][:2]
    content = image[:max(round(height * scale_y), 1), :max(round(width * scale_x), 1)]
    return cv2.resize(content, (width, height))


def _plain(sample: Any) -> Any:
    """``sample`` with plain tensors for boxes, as the hosts' visualizers take them."""
    sample = sample.new()
    if 'gt_instances' in sample and 'bboxes' in sample.gt_instances:
        boxes = sample.gt_instances.bboxes
        sample.gt_instances.bboxes = getattr(boxes, 'tensor', boxes)
    return sample


def _titled(title: str, picture: np.ndarray) -> np.ndarray:
    """A panel: the picture under a line of text."""
    import cv2
    scale = max(0.35, min(picture.shape[1] / 600, 0.8))
    (width, height), base = cv2.getTextSize(title, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    bar = np.full((height + base + 6, max(picture.shape[1], width + 8), 3), 255, np.uint8)
    cv2.putText(bar, title, (4, height + 3), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1,
                cv2.LINE_AA)
    padding = ((0, 0), (0, bar.shape[1] - picture.shape[1]), (0, 0))
    return np.vstack([bar, np.pad(picture, padding, constant_values=255)])


def _side_by_side(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures in one row, aligned at the top, white between them and below the shorter ones."""
    height = max(picture.shape[0] for picture in pictures)
    row = [np.pad(picture, ((0, height - picture.shape[0]), (0, 4), (0, 0)), constant_values=255)
           for picture in pictures]
    return np.hstack(row)[:, :-4]


def thumbnail(picture: np.ndarray, side: int = 256) -> np.ndarray:
    """``picture`` with at most ``side`` pixels along its longer side; never enlarged."""
    import cv2
    scale = side / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = [max(round(length * scale), 1) for length in picture.shape[1::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def contact_sheet(views: Sequence[tuple[str, np.ndarray]]) -> np.ndarray:
    """A grid of named thumbnails.

    Args:
        views: Name and picture (HWC, BGR, uint8) of each; at least one.

    Returns:
        HWC, BGR, uint8.
    """
    thumbnails = [_titled(name[-28:], picture) for name, picture in views]
    columns = int(np.ceil(np.sqrt(len(thumbnails))))
    height = max(one.shape[0] for one in thumbnails)
    width = max(one.shape[1] for one in thumbnails)
    gap = 4
    rows = -(-len(thumbnails) // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for i, one in enumerate(thumbnails):
        top = gap + (i // columns) * (height + gap)
        left = gap + (i % columns) * (width + gap)
        sheet[top:top + one.shape[0], left:left + one.shape[1]] = one
    return sheet
