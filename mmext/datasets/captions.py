"""Captions beside the annotations of a data set, and their transform (for CGG)."""
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.datasets import CocoDataset, CocoPanopticDataset

from ..errors import UserError, did_you_mean
from ..models.language import WordPiece, read_table
from ..registry import DATASETS, TRANSFORMS
from .categories import number_by_class
from .nouns import NounFinder


def read_captions(path: str | Path, nouns: bool = True) -> dict[int, list[dict[str, Any]]]:
    """Captions by image id.

    Args:
        path: A COCO caption file.
        nouns: It must have the nouns of every caption, as ``caption_nouns.py`` adds them.

    Raises:
        UserError: If it is no such file, a caption is of an image that the file does not list, or
            nouns are missing.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        images = {image['id'] for image in content['images']}
        annotations = content['annotations']
        found: dict[int, list[dict[str, Any]]] = {}
        for annotation in annotations:
            annotation['caption'].split()
            found.setdefault(annotation['image_id'], []).append(annotation)
    except FileNotFoundError:
        near = [one.name for one in path.parent.glob('*.json')] if path.parent.is_dir() else []
        raise UserError(f'no such caption file: {path}{did_you_mean(path.name, near)}') from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no COCO caption file (a list 'annotations' of image_id and caption, a "
                        f"list 'images'): {type(error).__name__}: {error}") from None
    stray = sorted(set(found) - images)
    if stray:
        raise UserError(f'{path}: a caption of image {stray[0]}, which is not among its images '
                        f'({len(stray)} such)')
    if nouns:
        bad = next((one for some in found.values() for one in some
                    if not isinstance(one.get('nouns'), list)), None)
        if bad is not None:
            raise UserError(f"{path}: caption {bad.get('id')} has no list 'nouns'; add them once with "
                            'tools/dataset_converters/caption_nouns.py')
    return found


class _Captions:
    """Adds the captions of a file to what another data set loads."""

    def __init__(self, *args: Any, caption_file: str, nouns: Sequence[str] | None = None,
                 **kwargs: Any) -> None:
        self.caption_file, self.nouns = caption_file, nouns
        self._numbered = False
        super().__init__(*args, **kwargs)

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """See the host; labels are places in ``metainfo.classes``, not in the file: those of the head."""
        if not self._numbered:
            number_by_class(self)
            self._numbered = True
        return super().parse_data_info(raw_data_info)  # type: ignore[misc]

    def load_data_list(self) -> list[dict]:
        """The host's list; every image has ``captions``, a list of sentences with their nouns.

        Raises:
            UserError: If an image has no caption, a class is no category of the annotations, or the file
                is no caption file.
        """
        path = Path(self.caption_file)
        if not path.is_absolute() and not path.is_file():
            path = Path(self.data_root or '') / path  # type: ignore[attr-defined]
        captions = read_captions(path, nouns=self.nouns is None)
        find = None if self.nouns is None else NounFinder(self.nouns)
        images = super().load_data_list()  # type: ignore[misc]
        for image in images:
            own = captions.get(image['img_id'])
            if not own:
                raise UserError(f"{path} has no caption of image {image['img_id']} ({image['img_path']})")
            image['captions'] = [dict(caption=one['caption'],
                                      nouns=one['nouns'] if find is None else find(one['caption']))
                                 for one in own]
        return images


@DATASETS.register_module()
class CaptionCocoDataset(_Captions, CocoDataset):
    """Instances of some classes and captions of everything.

    Keep images without instances (``filter_cfg=dict(filter_empty_gt=False)``): they have captions.

    Args:
        caption_file: COCO caption file with nouns; from ``data_root`` on if it is not found as it is.
        nouns: Look for these in the captions of a file without nouns, while loading.
        **kwargs: See :class:`mmdet.CocoDataset`; ``metainfo.classes`` are those whose masks are used.
    """


@DATASETS.register_module()
class CaptionCocoPanopticDataset(_Captions, CocoPanopticDataset):
    """Panoptic segments of some classes and captions of everything.

    Args:
        caption_file: COCO caption file with nouns; from ``data_root`` on if it is not found as it is.
        nouns: Look for these in the captions of a file without nouns, while loading.
        **kwargs: See :class:`mmdet.CocoPanopticDataset`; segments of classes that ``metainfo.classes``
            lacks are void.
    """

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """The host's, without segments of other classes, which it takes for an error."""
        known = [one for one in raw_data_info['raw_ann_info'] if one['category_id'] in self.cat2label]
        return super().parse_data_info(dict(raw_data_info, raw_ann_info=known))


@TRANSFORMS.register_module()
class LoadCaption(BaseTransform):
    """One of the image's captions, at random, as ids of words.

    Required keys: ``captions``. Added keys: ``caption`` (the sentence), ``caption_ids`` ([CLS], the
    words, [SEP]) and ``noun_ids`` (may be empty: a caption without a known noun grounds nothing, see
    :class:`mmext.GroundingLoss`). They must be among the ``meta_keys`` of ``PackDetInputs``.

    Args:
        words: The word table of the model, for its vocabulary.
        max_length: Longer captions and lists of nouns are cut.
    """

    def __init__(self, words: str, max_length: int = 35) -> None:
        self.words, self.max_length = words, max_length
        self._tokenizer: WordPiece | None = None

    @property
    def tokenizer(self) -> WordPiece:
        """The vocabulary, read when it is first needed."""
        if self._tokenizer is None:
            self._tokenizer = WordPiece(read_table(self.words)[0])
        return self._tokenizer

    def transform(self, results: dict) -> dict:
        """Choose and encode."""
        captions: Sequence[dict] = results.get('captions', ())
        if not captions:
            raise UserError("LoadCaption: the data set gives no 'captions'; use mmext.CaptionCocoDataset")
        chosen = captions[np.random.randint(len(captions))]
        tokenizer = self.tokenizer
        ids = tokenizer.encode(chosen['caption'])[:self.max_length - 2]
        results['caption'] = chosen['caption']
        results['caption_ids'] = [tokenizer.start, *ids, tokenizer.end]
        nouns = [one for noun in dict.fromkeys(chosen['nouns']) for one in tokenizer.encode(noun)]
        results['noun_ids'] = nouns[:self.max_length]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(words={self.words!r}, max_length={self.max_length})'
