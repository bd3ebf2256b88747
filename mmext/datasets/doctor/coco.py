"""COCO files (detection, instances, panoptic) as ``mmdet.CocoDataset`` reads them."""
from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from ...errors import nearest
from .coco_shapes import Annotated, check_boxes, check_segments
from .finding import MAX_EXAMPLES, Example, Finding, counted, quoted
from .images import check_images
from .scan import Scan

_REQUIRED = {
    'images': ('id', 'file_name', 'width', 'height'),
    'annotations': ('image_id', 'category_id', 'bbox', 'area'),
    'categories': ('id', 'name'),
}


def examine_coco(dataset: Any, scan: Scan, summary: dict[str, int], train: bool,
                 masks: bool) -> Iterator[Finding]:
    """Check the annotation file and the headers of its images.

    Args:
        dataset: The host's dataset object, nothing loaded yet.
        scan: Reads and remembers.
        summary: Filled with what was looked at.
        train: Whether the dataset is trained on, so that it has to have annotations.
        masks: Whether its pipeline loads masks.
    """
    file = dataset.ann_file
    scan.watch(file)
    content, fault = read_json(file)
    if fault is not None:
        yield fault
        return
    for key in ('images', 'categories', *(['annotations'] if train else [])):
        if not isinstance(content.get(key), list):
            yield Finding('no-list', f"'{file}' has no list '{key}'",
                          suggestion='expected the keys images, annotations and categories')
            return
    images = yield from _records(content, 'images')
    categories = yield from _records(content, 'categories')
    annotations, panoptic = _flat(content.get('annotations'))
    annotations = yield from _records({'annotations': annotations}, 'annotations')
    summary.update(images=len(images), boxes=len(annotations), classes=len(categories))
    by_id = {_key(image['id']): image for image in images}
    yield from _duplicates('images', images)
    yield from _duplicates('categories', categories)
    if not panoptic:
        yield from _duplicates('annotations', annotations)
    yield from _check_names(dataset.metainfo.get('classes'), categories, annotations, train)
    yield from _check_references(annotations, by_id, {_key(one['id']) for one in categories})
    paths = {key: os.path.join(dataset.data_prefix.get('img', ''), str(image['file_name']))
             for key, image in by_id.items()}
    stated = {paths[key]: (image['width'], image['height']) for key, image in by_id.items()}
    yield from check_images(scan, list(paths.values()), stated)
    annotated = [Annotated(index, one, by_id[_key(one['image_id'])], paths[_key(one['image_id'])])
                 for index, one in enumerate(annotations) if _key(one['image_id']) in by_id]
    yield from check_boxes(annotated)
    if masks and not panoptic:
        yield from check_segments(annotated)
    if train:
        yield from _check_amount(annotations, images)


def read_json(file: str) -> tuple[dict[str, Any], Finding | None]:
    """The object in ``file``, or the finding that it has none."""
    try:
        with open(file, encoding='utf-8') as stream:
            content = json.load(stream)
    except FileNotFoundError:
        return {}, Finding('file-missing', f"the annotation file '{file}' does not exist")
    except (OSError, UnicodeDecodeError) as error:
        return {}, Finding('file-unreadable', f"the annotation file '{file}' cannot be read: {error}")
    except (ValueError, RecursionError) as error:
        return {}, Finding('not-json', f"'{file}' is not JSON: {error}")
    if not isinstance(content, dict):
        return {}, Finding('not-coco', f"'{file}' holds a {type(content).__name__}, not an object",
                           suggestion='expected the keys images, annotations and categories')
    return content, None


def _key(value: Any) -> Any:
    """An id as something that can be looked up."""
    return value if isinstance(value, (int, float, str)) else repr(value)


def _records(content: Mapping[str, Any],
             key: str) -> Generator[Finding, None, list[dict[str, Any]]]:
    """The objects of a list that have all they need (the generator's value); the rest is found."""
    whole, lacking, others = [], Counter[str](), 0
    examples: dict[str, list[Example]] = {}
    for index, record in enumerate(content[key] or ()):
        if not isinstance(record, dict):
            others += 1
            continue
        absent = next((name for name in _REQUIRED[key] if record.get(name) is None), None)
        if absent is None and key == 'images' and not _is_size(record):
            absent = 'width'
        if absent is None:
            whole.append(record)
        else:
            lacking[absent] += 1
            if len(examples.setdefault(absent, [])) < MAX_EXAMPLES:
                examples[absent].append(Example(f'{key}[{index}]'))
    if others:
        yield Finding('not-object', f'{counted(others, "entry|entries")} of {key} '
                      f'{"is" if others == 1 else "are"} no object', count=others)
    for name, count in lacking.items():
        what = 'no usable' if name == 'width' else 'no'
        yield Finding('key-missing', f"{counted(count, 'entry|entries')} of {key} "
                      f"{'has' if count == 1 else 'have'} {what} '{name}'", count=count,
                      examples=tuple(examples[name]))
    return whole


def _is_size(image: Mapping[str, Any]) -> bool:
    return all(isinstance(image[name], (int, float)) and image[name] > 0
               for name in ('width', 'height'))


def _flat(annotations: Any) -> tuple[list[Any], bool]:
    """A panoptic file's segments as annotations of their own; others as they are."""
    if not isinstance(annotations, list):
        return [], False
    if not any(isinstance(one, dict) and 'segments_info' in one for one in annotations):
        return annotations, False
    flat: list[Any] = []
    for one in annotations:
        segments = one.get('segments_info') if isinstance(one, dict) else None
        flat += [{**segment, 'image_id': one.get('image_id')} if isinstance(segment, dict)
                 else segment for segment in (segments if isinstance(segments, list) else [one])]
    return flat, True


# ------------------------------------------------------------------------------- ids and classes


def _duplicates(what: str, records: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    ids = Counter(_key(one['id']) for one in records if 'id' in one)
    double = [key for key, count in ids.items() if count > 1]
    if double:
        yield Finding('duplicate-id', f'{counted(len(double), "id")} of {what} used more than once: '
                      f'{quoted(double)}; the later entry hides the earlier',
                      count=len(double), suggestion='give every entry an id of its own')


def _check_references(annotations: Sequence[Mapping[str, Any]], images: Mapping[Any, Any],
                      categories: set[Any]) -> Iterator[Finding]:
    strangers = Counter(_key(one['category_id']) for one in annotations)
    unknown = {key: count for key, count in strangers.items() if key not in categories}
    if unknown:
        total = sum(unknown.values())
        yield Finding('category-unknown', f'{counted(total, "annotation")} of a category_id that '
                      f'categories do not have: {quoted(list(unknown))}', count=total)
    lost = [one for one in annotations if _key(one['image_id']) not in images]
    if lost:
        keys = list(dict.fromkeys(_key(one['image_id']) for one in lost))
        yield Finding('image-unknown', f'{counted(len(lost), "annotation")} of an image_id that '
                      f'images do not have: {quoted(keys)}',
                      'error' if len(lost) == len(annotations) else 'warning', len(lost))


def _check_names(classes: Any, categories: Sequence[Mapping[str, Any]],
                 annotations: Sequence[Mapping[str, Any]], train: bool) -> Iterator[Finding]:
    """``metainfo['classes']`` against the names and the annotations of the file."""
    names = [str(one['name']) for one in categories]
    double = [name for name, count in Counter(names).items() if count > 1]
    if double:
        yield Finding('duplicate-name', f'{counted(len(double), "category name")} used more than '
                      f'once: {quoted(double)}', count=len(double))
    if not classes:
        return
    missing = [name for name in classes if name not in names]
    for name in missing[:MAX_EXAMPLES]:
        near = nearest(str(name), [one for one in names if one not in classes], 1)
        yield Finding('name-missing', f"class '{name}' of the metainfo is not a category of the file",
                      suggestion=f"did you mean '{near[0]}'?" if near else
                      f'the file has {quoted(names)}' if names else '')
    # The host numbers classes in the file's order, the metainfo names them in its own.
    order = [name for name in names if name in classes]
    wanted = [name for name in classes if name in names]
    if order != wanted and not double:
        place = next(index for index, (a, b) in enumerate(zip(order, wanted)) if a != b)
        yield Finding('order', f"the file's categories come in another order than the metainfo's "
                      f"classes: label {place} is '{order[place]}' in the file and will be called "
                      f"'{wanted[place]}'", 'warning', suggestion="write the metainfo's classes in "
                      "the file's order")
    amounts = Counter(_key(one['category_id']) for one in annotations)
    ids = {str(one['name']): _key(one['id']) for one in categories}
    unused = [name for name in names if name not in classes and amounts[ids[name]]]
    if unused:
        total = sum(amounts[ids[name]] for name in unused)
        yield Finding('name-unused', f'{counted(len(unused), "category|categories")} of the file not '
                      f'in the metainfo: {quoted(unused)}; their {counted(total, "annotation")} '
                      f'{"is" if total == 1 else "are"} ignored', 'warning', len(unused))
    empty = [name for name in wanted if not amounts[ids[name]]]
    if empty and annotations:
        yield Finding('class-empty', f'{counted(len(empty), "class|classes")} without one annotation: '
                      f'{quoted(empty)}', 'warning', len(empty))
    if train and annotations and wanted and len(empty) == len(wanted):
        yield Finding('nothing-left', 'no annotation belongs to a class of the metainfo: there is '
                      'nothing to learn')


def _check_amount(annotations: Sequence[Any], images: Sequence[Any]) -> Iterator[Finding]:
    if not images:
        yield Finding('no-images', 'the file names no images')
    elif not annotations:
        yield Finding('no-annotations', 'the file has no annotations: there is nothing to learn')
    else:
        used = {_key(one['image_id']) for one in annotations}
        bare = sum(_key(image['id']) not in used for image in images)
        if bare > len(images) // 2:
            yield Finding('images-bare', f'{counted(bare, "image", len(images))} have no annotation',
                          'warning', bare)
