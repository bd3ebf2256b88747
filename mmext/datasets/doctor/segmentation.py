"""Label maps (ADE20K and any ``mmseg.BaseSegDataset``)."""
from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .finding import MAX_EXAMPLES, Example, Finding, counted, quoted
from .headers import Header
from .images import check_images
from .scan import Scan

#: Label maps that are decoded for their values, spread evenly; of all others only headers are read.
SAMPLE = 300


def examine_segmentation(dataset: Any, scan: Scan, summary: dict[str, int], full: bool,
                         load: Any, relabelled: bool = False) -> Iterator[Finding]:
    """Check images, label maps and the labels in them.

    Args:
        dataset: The host's dataset object, nothing loaded yet.
        scan: Reads and remembers.
        summary: Filled with what was looked at.
        full: Decode every label map instead of :data:`SAMPLE`.
        load: Settings of the pipeline's ``LoadAnnotations``; None where labels are not loaded.
        relabelled: The pipeline gives other numbers to the labels, so those in the files say nothing.
    """
    images, maps = dataset.data_prefix.get('img_path') or '', dataset.data_prefix.get('seg_map_path')
    scan.watch(images, *([dataset.ann_file] if dataset.ann_file else []), *_folders(images))
    try:
        records = dataset.load_data_list()
    except (OSError, AssertionError, UnicodeDecodeError, ValueError) as error:
        yield Finding('list-unreadable', f'the list of images cannot be read: {error}')
        return
    paths = [record['img_path'] for record in records]
    summary.update({'images': len(paths)})
    if not paths:
        yield Finding('no-images', f"there are no images '*{dataset.img_suffix}' in '{images}'",
                      suggestion=_other_suffix(images))
        return
    yield from check_images(scan, paths, {})
    if maps is None or load is None:
        return
    labels = {record['seg_map_path']: record['img_path'] for record in records}
    yield from check_images(scan, list(labels), {}, 'label map')
    headers = scan.headers([*paths, *labels])
    yield from _check_sizes(labels, headers)
    whole = [path for path in labels if not headers[path].fault]
    sample = whole if full else whole[::max(1, len(whole) // SAMPLE)]
    values = scan.labels(sample, read_values)
    summary.update({'label maps': len(labels), 'decoded': len(sample)})
    yield from _check_colours(values)
    counts = Counter[int]()
    for value in values.values():
        counts.update({int(label): number for label, number in (value or {}).items()})
    reduce = dataset.reduce_zero_label
    own = load.get('reduce_zero_label')
    if relabelled:
        return
    if own is not None and bool(own) != bool(reduce):
        yield Finding('reduce-zero-label', f'LoadAnnotations has reduce_zero_label={own}, the dataset '
                      f'{reduce}; the host refuses that', suggestion='set it on the dataset only')
    yield from check_labels(counts, values, dataset.metainfo.get('classes'), reduce,
                            dataset.ignore_index, bool(dataset.label_map),
                            len(dataset.METAINFO.get('classes') or ()))


def _folders(root: str) -> list[str]:
    """All folders below ``root``: their times change with the files in them."""
    return [os.path.join(parent, name) for parent, names, _ in os.walk(root) for name in names]


def _other_suffix(folder: str) -> str:
    """The endings that the folder has instead."""
    try:
        found = Counter(os.path.splitext(name)[1] for name in os.listdir(folder))
    except OSError:
        return f"there is no folder '{folder}'"
    found.pop('', None)
    return f"set img_suffix='{found.most_common(1)[0][0]}'" if found else 'the folder has none'


def read_values(path: str) -> dict[str, int] | None:
    """Label -> number of pixels of a label map; None for a picture in colours."""
    import cv2
    import numpy as np
    from PIL import Image
    try:
        # Pillow, as the hosts do: OpenCV turns a palette's indices into colours.
        with Image.open(path) as picture:
            values: np.ndarray | None = np.asarray(picture)
    except Exception:
        values = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    if values is None or values.ndim != 2 or values.dtype == object:
        return None
    found, numbers = np.unique(values.astype(np.int64), return_counts=True) if values.dtype != np.uint8 \
        else (np.arange(256), np.bincount(values.ravel(), minlength=256))
    return {str(label): int(number) for label, number in zip(found, numbers) if number}


def _check_sizes(labels: Mapping[str, str], headers: Mapping[str, Header]) -> Iterator[Finding]:
    other = [path for path, image in labels.items() if headers[path].width and headers[image].width
             and headers[path].shown != headers[image].shown]
    if other:
        examples = []
        for path in other[:MAX_EXAMPLES]:
            (width, height), (wide, high) = headers[path].shown, headers[labels[path]].shown
            examples.append(Example(f'{path} is {width} x {height}, its image {wide} x {high}', path))
        yield Finding('label-size', f'{counted(len(other), "label map", len(labels))} of another size '
                      'than the image', count=len(other), examples=tuple(examples))


def _check_colours(values: Mapping[str, Any]) -> Iterator[Finding]:
    coloured = [path for path, found in values.items() if found is None]
    if coloured:
        yield Finding('label-colours', f'{counted(len(coloured), "label map", len(values))} in colours, '
                      'not one label per pixel', count=len(coloured),
                      suggestion='convert them to one channel of class numbers',
                      examples=tuple(Example(path, path) for path in coloured[:MAX_EXAMPLES]))


def check_labels(counts: Mapping[int, int], values: Mapping[str, Any], classes: Sequence[str] | None,
                 reduce: bool, ignore: int, mapped: bool, original: int) -> Iterator[Finding]:
    """The histogram of labels against the number of classes and ``reduce_zero_label``.

    Args:
        counts: Label as stored -> pixels, over all label maps that were decoded.
        values: The same per label map, for examples.
        classes: Names of the classes.
        reduce: Whether 0 is ignored and everything else moves down by one.
        ignore: The label that counts for nothing.
        mapped: Whether labels are those of the dataset's own classes, mapped to a subset.
        original: Number of the dataset's own classes.
    """
    if not classes or not counts:
        return
    number = original if mapped else len(classes)
    first, last = (1, number) if reduce else (0, number - 1)
    allowed = {*range(first, last + 1), ignore, *([0, 255] if reduce else [])}
    wrong = sorted(label for label in counts if label not in allowed)
    state = f'reduce_zero_label={reduce}'
    if wrong:
        fix = ''
        if not reduce and wrong == [number]:
            fix = 'set reduce_zero_label=True, if 0 means unlabelled' if counts.get(0) else \
                'labels have to start at 0, or set reduce_zero_label=True'
        chosen = [path for path, found in values.items()
                  if found and any(str(label) in found for label in wrong)]
        yield Finding('label-range', f'labels {quoted(wrong)} are none of the {number} classes '
                      f'({first} to {last} with {state})', count=len(chosen), suggestion=fix,
                      examples=tuple(Example(path, path) for path in chosen[:MAX_EXAMPLES]))
    present = {label for label in counts if first <= label <= last}
    pixels = sum(counts.values())
    if not present:
        yield Finding('nothing-left', f'every pixel is ignored: with {state} there is nothing to learn')
        return
    if reduce and not wrong and last not in present and counts.get(0, 0) > 0.01 * pixels \
            and len(present) == number - 1:
        yield Finding('label-zero', f'0 ({counts[0] / pixels:.0%} of the pixels) is ignored and '
                      f'{last} never occurs: the labels look as if they start at 0', 'warning',
                      suggestion='set reduce_zero_label=False, if 0 is a class')
    empty = [] if mapped else [name for index, name in enumerate(classes) if index + first not in present]
    if empty:
        yield Finding('class-empty', f'{counted(len(empty), "class|classes")} without a pixel in '
                      f'{counted(len(values), "label map")}: {quoted(empty)}', 'warning', len(empty))
