"""The class names of a data set, by its type."""
from __future__ import annotations

from ..errors import UserError
from ..registry import DATASETS


def dataset_classes(kind: str) -> tuple[str, ...]:
    """The classes that a data set's type has in its ``METAINFO``.

    Args:
        kind: For example ``'mmdet.CocoDataset'``.

    Raises:
        UserError: If there is no such data set, or it has no classes of its own.

    Example:
        >>> dataset_classes('mmdet.CocoDataset')[:2]
        ('person', 'bicycle')
    """
    try:
        found = DATASETS.get(kind)
    except KeyError as error:
        raise UserError(str(error.args[0])) from None
    classes = getattr(found, 'METAINFO', {}).get('classes')
    if not classes:
        what = 'there is no such data set' if found is None else 'it has no classes of its own'
        raise UserError(f"'{kind}': {what}; expected for example mmdet.CocoDataset or mmseg.ADE20KDataset")
    return (classes, ) if isinstance(classes, str) else tuple(classes)
