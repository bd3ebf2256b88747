"""Panoptic data sets with labels in any order, files as COCO or Cityscapes has them, no panopticapi."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mmdet.datasets import CocoPanopticDataset
from mmdet.datasets.transforms import LoadAnnotations, LoadPanopticAnnotations

from ..errors import UserError
from ..evaluation.metrics.panoptic_metric import colour_ids
from ..registry import DATASETS, TRANSFORMS
from .categories import number_by_class


@DATASETS.register_module()
class PanopticDataset(CocoPanopticDataset):
    """A data set in COCO's panoptic format whose labels are in the order of ``metainfo.classes``.

    mmdet's takes the order of the file, and its heads want things first; ADE20K's and Cityscapes'
    things are anywhere. Segments of categories that ``metainfo.classes`` lacks are void.

    Args:
        *args: See :class:`mmdet.CocoPanopticDataset`.
        layout: 'coco': pictures and segments have the names that the file says. 'cityscapes': pictures
            are ``<city>/<image id>_leftImg8bit.png``, as cityscapesscripts' ``createPanopticImgs`` means.
        **kwargs: See :class:`mmdet.CocoPanopticDataset`.

    Raises:
        UserError: If ``layout`` is not valid, or the file has no category of a class's name.
    """

    def __init__(self, *args: Any, layout: str = 'coco', **kwargs: Any) -> None:
        if layout not in ('coco', 'cityscapes'):
            raise UserError(f"PanopticDataset: layout='{layout}'; expected coco or cityscapes")
        self.layout = layout
        self._files: dict[Any, str] = {}
        super().__init__(*args, **kwargs)

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """See the host; labels and paths are those of this class."""
        if not self._files:
            self._prepare()
        known = [one for one in raw_data_info['raw_ann_info'] if one['category_id'] in self.cat2label]
        info = super().parse_data_info(dict(raw_data_info, raw_ann_info=known))
        name = info['img_id']
        if info['seg_map_path'] is not None and name in self._files:
            info['seg_map_path'] = str(Path(self.data_prefix['seg'], self._files[name]))
        if self.layout == 'cityscapes':
            city = str(name).split('_')[0]
            info['img_path'] = str(Path(self.data_prefix['img'], city, f'{name}_leftImg8bit.png'))
        return info

    def _prepare(self) -> None:
        """Labels by category, and the file of every image's segments."""
        number_by_class(self)
        self._files = {one['image_id']: one['file_name'] for one in self.coco.dataset['annotations']}


@TRANSFORMS.register_module()
class LoadPanoptic(LoadPanopticAnnotations):
    """:class:`mmdet.LoadPanopticAnnotations` without panopticapi, which no package registry has.

    Args:
        **kwargs: See :class:`mmdet.LoadPanopticAnnotations`.

    ``gt_seg_map`` is uint8, 255 where there is no segment.
    """

    def __init__(self, **kwargs: Any) -> None:
        # The host's constructor looks for panopticapi.
        LoadAnnotations.__init__(self, **dict(dict(with_mask=True, with_seg=True), **kwargs))
        self.rgb2id = colour_ids

    def _load_masks_and_semantic_segs(self, results: dict) -> None:
        super()._load_masks_and_semantic_segs(results)
        if 'gt_seg_map' in results:
            results['gt_seg_map'] = results['gt_seg_map'].astype(np.uint8)
