"""Run a trained model on pictures: any host, any task, one picture or a million."""
from __future__ import annotations

import copy
import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .. import hosts
from ..cli.config import load_config
from ..errors import UserError
from .drawing import Painter
from .inputs import VIDEO_SUFFIXES, find_sources, read_frames
from .model import build_model, class_meta, load_weights, pick_device, read_checkpoint
from .pipeline import TestPipeline, UnreadableImage, dataset_meta
from .prediction import Prediction

if TYPE_CHECKING:
    from mmengine.config import Config

Input = str | Path | np.ndarray
_READ_AHEAD = 2  # batches prepared while the model works on one


class Inferencer:
    """A model with its test pipeline: pictures in, predictions out.

    Args:
        config: A config's file, ``package::path``, or the config itself.
        checkpoint: File or URL of the weights. None leaves the model untrained, to try a config.
        device: For example ``'cpu'`` or ``'cuda:1'``; None takes a GPU if there is one.
        cfg_options: ``KEY=VALUE`` strings that override the config.
        trust_checkpoint: Read checkpoints that can only be read by full unpickling, which runs
            code from the file.

    Attributes:
        cfg: The resolved config.
        model: The model, on ``device``, in evaluation mode.
        dataset_meta: ``classes`` and ``palette``: from the checkpoint, else from the test dataset.

    Raises:
        UserError: If the config has no test data, the checkpoint does not fit the model, or the
            device does not exist.

    Example:
        >>> inferencer = Inferencer('configs/emov2/..._toy.py', 'epoch_12.pth')
        >>> for prediction in inferencer('images/', batch_size=8):
        ...     print(prediction.source, prediction.error or prediction.to_dict(score_thr=0.3))
    """

    def __init__(self,
                 config: str | Path | Config,
                 checkpoint: str | Path | None = None,
                 device: str | None = None,
                 *,
                 cfg_options: Sequence[str] | None = None,
                 trust_checkpoint: bool = False) -> None:
        hosts.repair(trust_checkpoint)
        from mmengine.registry import DefaultScope
        if isinstance(config, str | Path):
            config = load_config(str(config), cfg_options)
        self.cfg = copy.deepcopy(config)
        self.device = pick_device(device)
        self.scope = self.cfg.get('default_scope', 'mmengine')
        state, meta = read_checkpoint(checkpoint, trust_checkpoint) if checkpoint else ({}, {})
        with DefaultScope.overwrite_default_scope(self.scope):
            self.dataset_meta = class_meta(dataset_meta(self.cfg), meta)
            self.pipeline = TestPipeline(self.cfg, self.dataset_meta.get('classes'))
        self.model: Any = build_model(self.cfg)
        if checkpoint:
            load_weights(self.model, state, str(checkpoint))
        self.model.to(self.device)
        self.model.cfg = self.cfg  # some hosts' models look here
        # A model that takes names may have others, or in another order, than the test data.
        known = getattr(self.model, 'classes', None)
        if known and isinstance(known, tuple) and known != tuple(self.dataset_meta.get('classes') or ()):
            self.dataset_meta = dict(classes=known)
        self._show_as()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by label; empty when nobody states them."""
        return tuple(self.dataset_meta.get('classes') or ())

    def set_classes(self, classes: Sequence[str]) -> None:
        """Look for other things from now on, with a model that takes any names.

        Args:
            classes: Their names.

        Raises:
            UserError: If the model's classes are fixed, there is no name, or one has no embedding.
        """
        if not hasattr(self.model, 'set_classes'):
            raise UserError(f'{type(self.model).__name__} knows only the classes it was trained on; other '
                            'names are for open-vocabulary models such as mmext.CGG and mmext.LMSeg')
        self.model.set_classes(classes)
        self.dataset_meta = dict(classes=tuple(classes))
        self._show_as()

    def _show_as(self) -> None:
        """Name and colour what the model finds by ``dataset_meta``."""
        from mmengine.registry import DefaultScope
        self.model.dataset_meta = self.dataset_meta
        with DefaultScope.overwrite_default_scope(self.scope):
            self.painter = Painter(self.cfg, self.dataset_meta)

    def __call__(self,
                 inputs: Input | Iterable[Input],
                 batch_size: int = 1) -> Iterator[Prediction]:
        """Predict, one result per picture, in order, as they come.

        Nothing is kept: memory does not grow with the number of inputs. An input that cannot be
        read or predicted yields a result with ``error`` set, and the others go on.

        Args:
            inputs: A path (image, video, folder or glob), an HWC BGR array, or an iterable of
                paths and arrays. A video yields one result per frame.
            batch_size: Pictures that go through the model together.

        Yields:
            One :class:`Prediction` per picture.

        Raises:
            UserError: If there is nothing to do, ``batch_size`` is not positive, or the device
                runs out of memory.
        """
        if batch_size < 1:
            raise UserError(f'batch size {batch_size}: expected 1 or more')
        return self._run(_pictures(inputs), batch_size)

    def _run(self, pictures: Iterator[tuple[str | None, int, Input]],
             batch_size: int) -> Iterator[Prediction]:
        prepared = self._prepared(pictures, _READ_AHEAD * batch_size)
        while batch := list(itertools.islice(prepared, batch_size)):
            ready = [(prediction, packed) for prediction, packed in batch if packed is not None]
            if ready:
                self._predict(ready)
            yield from (prediction for prediction, _ in batch)

    def _prepared(self, pictures: Iterator[tuple[str | None, int, Input]],
                  ahead: int) -> Iterator[tuple[Prediction, dict[str, Any] | None]]:
        """Pictures through the pipeline, in order, ``ahead`` of who asks, in one other thread."""
        with ThreadPoolExecutor(max_workers=1) as thread:
            waiting: deque = deque()
            for source, index, picture in pictures:
                waiting.append(thread.submit(self._prepare, source, index, picture))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _prepare(self, source: str | None, index: int,
                 picture: Input) -> tuple[Prediction, dict[str, Any] | None]:
        prediction = Prediction(source, index, classes=self.classes, _draw=self.painter.draw)
        try:
            prediction.image, packed = self.pipeline(picture, index)
        except UnreadableImage as error:
            return _failed(prediction, str(error), error), None
        except Exception as error:  # any transform may raise anything on an odd picture
            return _failed(prediction, f'test pipeline: {_describe(error)}', error), None
        return prediction, packed

    def _predict(self, ready: list[tuple[Prediction, dict[str, Any]]]) -> None:
        """Fill in ``sample`` (or ``error``) of every prediction."""
        from mmengine.dataset import pseudo_collate
        from mmengine.registry import DefaultScope
        batch = pseudo_collate([packed for _, packed in ready])
        try:
            with torch.inference_mode(), DefaultScope.overwrite_default_scope(self.scope):
                samples = self.model.test_step(batch)
        except torch.OutOfMemoryError:
            raise UserError(f'{self.device} ran out of memory with {len(ready)} pictures at once: '
                            'take a smaller batch size') from None
        except Exception as error:
            # One odd picture, or sizes that the host cannot stack: the others still get their turn.
            if len(ready) > 1:
                for one in ready:
                    self._predict([one])
                return
            _failed(ready[0][0], f'model: {_describe(error)}', error)
            return
        for (prediction, _), sample in zip(ready, samples, strict=True):
            if 'seg_logits' in sample:  # classes x height x width floats that nobody reads
                del sample.seg_logits
            prediction.sample = sample.cpu()


def _pictures(inputs: Input | Iterable[Input]) -> Iterator[tuple[str | None, int, Input]]:
    """(source, index, what to read) of every picture; paths are resolved before anything runs."""
    if isinstance(inputs, str | Path):
        found = find_sources([inputs])
        images = [source.path for source in found.images]
        return itertools.chain(_numbered(images), *(_video(v.path) for v in found.videos))
    return _numbered([inputs] if isinstance(inputs, np.ndarray) else inputs)


def _numbered(inputs: Iterable[Input]) -> Iterator[tuple[str | None, int, Input]]:
    for index, one in enumerate(inputs):
        if not isinstance(one, np.ndarray) and Path(one).suffix.lower() in VIDEO_SUFFIXES:
            yield from _video(Path(one))
        else:
            yield (None if isinstance(one, np.ndarray) else str(one)), index, one


def _video(path: Path) -> Iterator[tuple[str | None, int, Input]]:
    try:
        for index, frame in enumerate(read_frames(path)):
            yield str(path), index, frame
    except ValueError:
        yield str(path), 0, path  # the pipeline says why it cannot be read


def _failed(prediction: Prediction, reason: str, error: Exception) -> Prediction:
    prediction.error, prediction.exception = reason, error
    return prediction


def _describe(error: Exception) -> str:
    text = str(error).strip()
    return f'{type(error).__name__}: {text.splitlines()[0][:200]}' if text else type(error).__name__
