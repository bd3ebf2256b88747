"""Labels of COCO's categories in the order of a data set's classes."""
from __future__ import annotations

from typing import Any

from ..errors import UserError, did_you_mean


def number_by_class(dataset: Any) -> dict[str, int]:
    """Give each category of a loaded COCO data set the label of its place in ``metainfo.classes``.

    mmdet numbers them in the order of the file and leaves out names that it does not have.

    Args:
        dataset: With ``coco`` and ``metainfo``; ``cat_ids`` and ``cat2label`` are set.

    Returns:
        Category id by name, of the whole file.

    Raises:
        UserError: If the file has no category of a class's name.
    """
    ids = {one['name']: one['id'] for one in dataset.coco.dataset['categories']}
    for name in dataset.metainfo['classes']:
        if name not in ids:
            raise UserError(f"{dataset.ann_file} has no category '{name}'{did_you_mean(name, ids)}")
    dataset.cat_ids = [ids[name] for name in dataset.metainfo['classes']]
    dataset.cat2label = {number: label for label, number in enumerate(dataset.cat_ids)}
    return ids
