"""One batch of each phase through pipeline, model and metric, on the CPU."""
from __future__ import annotations

import contextlib
import io
import random
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .problem import Problem

if TYPE_CHECKING:
    from mmengine.config import Config


def try_batches(cfg: Config, phases: Sequence[str]) -> list[Problem]:
    """Build data and model, and put one batch of each phase through them.

    Args:
        cfg: A config without errors, shrunk to small batches and no workers; it is used up.
        phases: Any of 'train', 'val', 'test'.

    Returns:
        What failed, each with its place: the transform, the line of the model, the loss term.
    """
    from mmengine.registry import DefaultScope, init_default_scope
    scope = cfg.get('default_scope') or 'mmengine'
    with _seeded(), _quiet():
        init_default_scope(scope)
        with DefaultScope.overwrite_default_scope(scope):
            return list(_run(cfg, phases))


def _run(cfg: Config, phases: Sequence[str]) -> Iterator[Problem]:
    batches: dict[str, tuple[Any, Any]] = {}
    done: list[Any] = []
    for phase in phases:
        loader = cfg.get(f'{phase}_dataloader')
        if not isinstance(loader, Mapping) or loader in done:
            continue  # lists of dataloaders belong to loops of their own kind; val is often test
        done.append(loader)
        problem, found = _first_batch(phase, loader)
        if problem is not None:
            yield problem
        elif found is not None:
            batches[phase] = found
    if not batches:
        return
    model, problem = _build_model(cfg)
    if problem is not None:
        yield problem
        return
    for phase, (batch, dataset) in batches.items():
        if phase == 'train':
            yield from _losses(model, batch)
        else:
            yield from _predictions(model, batch, dataset, phase, cfg.get(f'{phase}_evaluator'))


# -------------------------------------------------------------------------------------------- data


def _first_batch(phase: str, loader: Mapping[str, Any]) \
        -> tuple[Problem | None, tuple[Any, Any] | None]:
    from mmengine.runner import Runner
    path = f'{phase}_dataloader'
    try:
        built = Runner.build_dataloader(loader, seed=0)
    except Exception as error:
        if 'need at least one array to concatenate' in str(error):  # mmengine on an empty list
            return _empty(path), None
        return Problem(f'{path}.dataset', f'cannot be built: {_told(error)}'), None
    try:
        return None, (next(iter(built)), built.dataset)
    except StopIteration:
        return _empty(path), None
    except Exception as error:
        step = _failing_step(error)
        where = f'pipeline[{step[0]}] {step[1]} fails' if step else 'the first batch fails'
        return Problem(f'{path}.dataset', f'{where}: {_told(error)}'), None


def _empty(path: str) -> Problem:
    return Problem(f'{path}.dataset', 'gives not one batch: it is empty, or all of it is filtered out',
                   suggestion='mmext check --data says what is in it')


def _failing_step(error: BaseException) -> tuple[int, str] | None:
    """Index and class of the transform, in the outermost pipeline, that raised ``error``."""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        owner, step = frame.f_locals.get('self'), frame.f_locals.get('t')
        transforms = getattr(owner, 'transforms', None)
        if frame.f_code.co_name == '__call__' and isinstance(transforms, list):
            for index, transform in enumerate(transforms):
                if transform is step:
                    return index, type(transform).__name__
        trace = trace.tb_next
    return None


# ------------------------------------------------------------------------------------------- model


def _build_model(cfg: Config) -> tuple[Any, Problem | None]:
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import MODELS
    settings = cfg.model
    if cfg.get('data_preprocessor') is not None:
        settings.setdefault('data_preprocessor', cfg.data_preprocessor)
    try:
        model = MODELS.build(settings)
        if hasattr(model, 'init_weights'):
            model.init_weights()
    except Exception as error:
        return None, Problem('model', f'cannot be built: {_told(error)}')
    return revert_sync_batchnorm(model), None  # SyncBN runs on GPUs only


def _losses(model: Any, batch: Any) -> Iterator[Problem]:
    import torch
    model.train()
    try:
        data = model.data_preprocessor(batch, True)
        losses = model._run_forward(data, mode='loss')
        total, values = model.parse_losses(losses)
    except Exception as error:
        yield _failure('train', error)
        return
    bad = [name for name, value in values.items()
           if name != 'loss' and not torch.isfinite(torch.as_tensor(value)).all()]
    if bad or not torch.isfinite(total):
        yield Problem('model', f"the first batch gives {' and '.join(bad or ['loss'])} that is not "
                      'finite', suggestion='mmext check --data looks for broken annotations')
    elif not total.requires_grad:
        yield Problem('model', 'the loss does not depend on any parameter: nothing would be trained',
                      'warning')


def _predictions(model: Any, batch: Any, dataset: Any, phase: str,
                 evaluator: Any) -> Iterator[Problem]:
    import torch
    from mmengine.evaluator import Evaluator
    model.eval()
    try:
        with torch.no_grad():
            outputs = model._run_forward(model.data_preprocessor(batch, False), mode='predict')
    except Exception as error:
        yield _failure(phase, error)
        return
    plain = isinstance(evaluator, (list, tuple)) or \
        (isinstance(evaluator, Mapping) and 'metrics' not in evaluator)
    if not plain:
        return  # evaluators of a kind of their own come with loops of their own
    try:
        judge = Evaluator(evaluator)
        judge.dataset_meta = getattr(dataset, 'metainfo', None)
        judge.process(data_samples=outputs, data_batch=batch)
    except Exception as error:
        yield Problem(f'{phase}_evaluator', f'fails on the first batch: {_told(error)}')


def _failure(phase: str, error: Exception) -> Problem:
    text = str(error).lower()
    on_gpu = isinstance(error, NotImplementedError) and ('cpu' in text or 'cuda' in text)
    if on_gpu or 'not compiled with gpu support' in text:
        return Problem('model', f'cannot be tried on the CPU: {_told(error)}', 'warning')
    return Problem('model', f'the first {phase} batch fails: {_told(error)}')


# ----------------------------------------------------------------------------------------- wording


def _told(error: BaseException) -> str:
    """The error in one line, with the innermost line of code outside torch."""
    words = ' '.join(str(error).split())
    message = f'{type(error).__name__}: {words}' if words else type(error).__name__
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if '/torch/' not in frame.filename and not frame.filename.startswith('<')]
    if not frames:
        return message
    file = frames[-1].filename.rpartition('site-packages/')[2]
    return f'{message} ({file}, line {frames[-1].lineno})'


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No progress lines and warnings of the hosts among the problems."""
    import logging
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    """The same augmentations every time; the caller's random states are put back."""
    import numpy as np
    import torch
    python, numbers = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numbers)
