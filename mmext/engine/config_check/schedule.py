"""Does the run add up: loops with their data, schedules with their length, batch sizes."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .problem import Problem


def check_phases(cfg: Mapping[str, Any], phases: Iterable[str]) -> Iterator[Problem]:
    """The Runner wants a phase's dataloader, loop and evaluator all set or all None."""
    parts = {
        'train': ('train_dataloader', 'train_cfg', 'optim_wrapper'),
        'val': ('val_dataloader', 'val_cfg', 'val_evaluator'),
        'test': ('test_dataloader', 'test_cfg', 'test_evaluator'),
    }
    for phase in phases:
        absent = [key for key in parts[phase] if cfg.get(key) is None]
        present = [key for key in parts[phase] if key not in absent]
        if absent and present:
            yield Problem(absent[0], f"is missing, but {' and '.join(present)} "
                          f"{'are' if len(present) > 1 else 'is'} set",
                          suggestion=f"add it, or set {' = '.join(present)} = None to do without")


def check_loaders(cfg: Mapping[str, Any], phases: Iterable[str]) -> Iterator[Problem]:
    """Batch sizes and worker settings that torch's DataLoader refuses."""
    for phase in phases:
        path = f'{phase}_dataloader'
        loader = cfg.get(path)
        if not isinstance(loader, Mapping):
            continue
        yield from _whole(f'{path}.batch_size', loader.get('batch_size'), 1)
        yield from _whole(f'{path}.num_workers', loader.get('num_workers'), 0)
        if loader.get('num_workers', 0) != 0:
            continue
        if loader.get('persistent_workers'):
            yield Problem(f'{path}.persistent_workers', 'needs num_workers above 0',
                          suggestion='set it to False')
        if loader.get('prefetch_factor') is not None:
            yield Problem(f'{path}.prefetch_factor', 'needs num_workers above 0',
                          suggestion='remove it')


def check_schedule(cfg: Mapping[str, Any]) -> Iterator[Problem]:
    """Milestones and starts that the training never reaches; schedules that never step."""
    loop = cfg.get('train_cfg')
    if not isinstance(loop, Mapping):
        return
    epochs, iters = loop.get('max_epochs'), loop.get('max_iters')
    for key in ('max_epochs', 'max_iters', 'val_interval'):
        value = loop.get(key)
        if isinstance(value, float) and value.is_integer():  # the loops take 3e4
            value = int(value)
        yield from _whole(f'train_cfg.{key}', value, 1)
    if epochs is None and iters is not None:
        yield from _check_distillation(cfg.get('model'))
    for path, scheduler in _schedulers('param_scheduler', cfg.get('param_scheduler')):
        by_epoch = scheduler.get('by_epoch', True)
        if by_epoch and epochs is None and iters is not None \
                and not scheduler.get('convert_to_iter_based'):
            yield Problem(path, 'counts epochs, but the training loop counts iterations: it never '
                          'steps', 'warning', 'set by_epoch=False and give its range in iterations')
            continue
        length, unit = (epochs, 'epochs') if by_epoch else (iters, 'iterations')
        if not isinstance(length, int):
            continue
        begin = scheduler.get('begin', 0)
        if isinstance(begin, int) and begin >= length:
            yield Problem(f'{path}.begin', f'{begin} is not before the end of training '
                          f'({length} {unit}): it never starts', 'warning')
        milestones = scheduler.get('milestones')
        late = [one for one in milestones if isinstance(one, int) and one >= length] \
            if isinstance(milestones, (list, tuple)) else []
        if late:
            yield Problem(f'{path}.milestones', f'{late} not within the {length} {unit} of '
                          'training: never reached', 'warning')
        if isinstance(begin, int) and begin < length:
            yield from _check_decay(path, scheduler, begin, length, unit)


def _check_distillation(model: Any) -> Iterator[Problem]:
    """Weights of a Distiller's losses that wait for an epoch which never comes."""
    losses = model.get('losses') if isinstance(model, Mapping) else None
    for name, loss in losses.items() if isinstance(losses, Mapping) else ():
        schedule = loss.get('schedule') if isinstance(loss, Mapping) else None
        if isinstance(schedule, Mapping) and schedule.get('by_epoch'):
            yield Problem(f'model.losses.{name}.schedule.by_epoch', 'counts epochs, but the training loop '
                          'counts iterations: the weight never changes',
                          suggestion='give begin and end in iterations')


def _check_decay(path: str, scheduler: Mapping[str, Any], begin: int, length: int,
                 unit: str) -> Iterator[Problem]:
    """Curves that training leaves before their end, or follows beyond it."""
    kind = str(scheduler.get('type')).rpartition('.')[2]
    end, period = scheduler.get('end'), scheduler.get('T_max')
    stop = min(end, length) if isinstance(end, int) else length
    if kind.startswith('CosineAnnealing') and isinstance(period, int) and period > 0:
        if begin + period > length:
            yield Problem(f'{path}.T_max', f'{period} from {begin} on goes beyond the {length} {unit} of '
                          'training: the minimum is never reached', 'warning',
                          f'set it to {length - begin}')
        elif begin + period < stop:
            yield Problem(f'{path}.T_max', f'{period} is over at {begin + period}, after which the value '
                          f'rises again until {stop} {unit}', 'warning', f'set it to {stop - begin}')
    # One step more is usual: the last value of these curves is that of the step before `end`.
    elif kind.startswith(('Linear', 'Poly')) and isinstance(end, int) and end > length + 1:
        yield Problem(f'{path}.end', f'{end} is beyond the {length} {unit} of training: never reached',
                      'warning', f'set it to {length}')


def _whole(path: str, value: Any, least: int) -> Iterator[Problem]:
    """Report ``value`` unless it is a whole number of at least ``least`` (or not given)."""
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
        yield Problem(path, f'is {value!r}, expected a whole number of {least} or more')


def check_auto_scale(cfg: Mapping[str, Any]) -> Iterator[Problem]:
    """Learning-rate scaling needs the batch size that the learning rate was chosen for."""
    scale = cfg.get('auto_scale_lr')
    if not isinstance(scale, Mapping):
        return
    base = scale.get('base_batch_size')
    if base is not None:
        yield from _whole('auto_scale_lr.base_batch_size', base, 1)
    elif scale.get('enable'):
        yield Problem('auto_scale_lr.base_batch_size', 'is missing while enable=True',
                      suggestion='set it to the batch size the learning rate was chosen for')


def _schedulers(path: str, value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, (list, tuple)):
        for index, one in enumerate(value):
            yield from _schedulers(f'{path}.{index}', one)
    elif isinstance(value, Mapping) and 'type' in value:
        yield path, value
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield from _schedulers(f'{path}.{name}', one)
