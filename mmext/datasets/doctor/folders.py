"""Classification data (``mmpretrain``): a folder per class, or a list of files and labels."""
from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Iterator
from typing import Any

from ...errors import nearest
from .finding import MAX_EXAMPLES, Example, Finding, counted, quoted
from .images import check_images
from .scan import Scan


def examine_folders(dataset: Any, scan: Scan, summary: dict[str, int]) -> Iterator[Finding]:
    """Check class folders or the list, and the headers of the images.

    Args:
        dataset: The host's dataset object, nothing loaded yet.
        scan: Reads and remembers.
        summary: Filled with what was looked at.
    """
    root = os.path.normpath(dataset.img_prefix)
    if dataset.ann_file:
        paths = yield from _from_list(dataset, scan, root, summary)
    else:
        paths = yield from _from_folders(dataset, scan, root, summary)
    summary['images'] = len(paths)
    yield from check_images(scan, paths, {})


def _from_list(dataset: Any, scan: Scan, root: str,
               summary: dict[str, int]) -> Generator[Finding, None, list[str]]:
    """Paths from lines ``file label`` (the generator's value)."""
    file = dataset.ann_file
    scan.watch(file)
    try:
        with open(file, encoding='utf-8') as stream:
            lines = stream.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        yield Finding('file-unreadable', f"the annotation file '{file}' cannot be read: {error}")
        return []
    if not dataset.with_label:
        return [os.path.join(root, line) for line in lines]
    classes = dataset.metainfo.get('classes')
    paths, malformed, outside = [], [], []
    labels = Counter[int]()
    for number, line in enumerate(lines, 1):
        name, _, label = line.strip().rpartition(' ')
        if not name or not label.lstrip('-').isdecimal():
            malformed.append(Example(f'{file}, line {number}'))
            continue
        paths.append(os.path.join(root, name))
        labels[int(label)] += 1
        if int(label) < 0 or (classes and int(label) >= len(classes)):
            outside.append(Example(f'{file}, line {number}: {label}', paths[-1]))
    summary['classes'] = len(labels)
    if malformed:
        yield Finding('line-shape', f'{counted(len(malformed), "line", len(lines))} not "file label"',
                      count=len(malformed), examples=tuple(malformed[:MAX_EXAMPLES]))
    if outside:
        yield Finding('label-range', f'{counted(len(outside), "label", len(lines))} outside 0 to '
                      f'{len(classes) - 1 if classes else "..."}', count=len(outside),
                      examples=tuple(outside[:MAX_EXAMPLES]))
    yield from _empty_classes([name for index, name in enumerate(classes or ()) if not labels[index]],
                              bool(labels))
    if not paths:
        yield Finding('no-images', f"'{file}' names no images")
    double = sum(count - 1 for count in Counter(paths).values())
    if double:
        yield Finding('duplicate-file', f'{counted(double, "line")} repeating a file', 'warning', double)
    return paths


def _from_folders(dataset: Any, scan: Scan, root: str,
                  summary: dict[str, int]) -> Generator[Finding, None, list[str]]:
    """Paths under one folder per class (the generator's value)."""
    scan.watch(root)
    try:
        entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError as error:
        yield Finding('folder-missing', f"the folder '{root}' cannot be read: {error.strerror}")
        return []
    folders = [entry.name for entry in entries if entry.is_dir()]
    classes = dataset.metainfo.get('classes') if dataset.with_label else None
    if dataset.with_label and not folders:
        yield Finding('no-folders', f"'{root}' has no folders, one per class")
        return []
    if classes and len(classes) != len(folders):
        strangers = [name for name in folders if name not in classes]
        absent = [name for name in classes if name not in folders]
        hint = ''
        if strangers and len(strangers) < len(folders):  # folders are named as the classes
            near = nearest(strangers[0], absent, 1)
            hint = f"'{strangers[0]}' is no class" + (f", did you mean '{near[0]}'?" if near else '')
        elif absent and not strangers:
            hint = f'missing: {quoted(absent)}'
        yield Finding('class-count', f"'{root}' has {counted(len(folders), 'folder')}, the metainfo "
                      f'{counted(len(classes), "class|classes")}', suggestion=hint)
    elif classes and set(folders) == set(map(str, classes)) and folders != list(classes):
        place = next(index for index, (a, b) in enumerate(zip(folders, classes)) if a != b)
        yield Finding('order', "labels follow the folders' alphabetical order, the metainfo's classes "
                      f"another: label {place} is '{folders[place]}' and will be called "
                      f"'{classes[place]}'", 'warning', suggestion='sort the classes of the metainfo')
    paths: list[str] = []
    others: list[str] = []
    empty = []
    for name in folders if dataset.with_label else ['']:
        before = len(paths)
        for parent, inner, files in os.walk(os.path.join(root, name), followlinks=True):
            scan.watch(parent)
            inner.sort()
            for file in sorted(files):
                (paths if dataset.is_valid_file(file) else others).append(os.path.join(parent, file))
        if len(paths) == before:
            empty.append(name)
    summary['classes'] = len(folders)
    yield from _empty_classes(empty, bool(paths))
    if others:
        yield Finding('other-files', f'{counted(len(others), "file")} without an image\'s ending '
                      f'({", ".join(sorted(dataset.extensions))}), not used', 'warning', len(others),
                      examples=tuple(Example(path) for path in others[:MAX_EXAMPLES]))
    if not paths:
        yield Finding('no-images', f"there are no images in '{root}'")
    return paths


def _empty_classes(empty: list[str], any_images: bool) -> Iterator[Finding]:
    if empty and any_images:
        yield Finding('class-empty', f'{counted(len(empty), "class|classes")} without one image: '
                      f'{quoted(empty)}', 'warning', len(empty))
