"""Search the student that will learn best from a teacher, without training (DisWOT).

The config is that of a classifier, or of a Distiller with one, and says in ``search`` what of it may vary.
Writes the config of the best student, a table and a picture of all candidates.
"""
from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import hosts
from ..errors import UserError
from ._common import add_config_arguments, run_command
from .config import default_work_dir, load_config

if TYPE_CHECKING:
    from mmengine.config import Config

    from ..engine.student_search.candidate import Candidate
    from ..engine.student_search.settings import SearchSettings
    from ..engine.student_search.space import SearchSpace

_SHOWN = 5  # rows of the printed table
_REPORTS = 20  # lines of progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config_arguments(parser)
    parser.add_argument('--work-dir', help='where results go (default: work_dirs/CONFIG_NAME)')
    parser.add_argument('--resume', action='store_true',
                        help='go on with the search in the work directory, or begin one')
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: a GPU if there is one)')


def _student_cfg(cfg: Config) -> Mapping[str, Any]:
    from ..engine.student_search.candidate import student_of
    if not isinstance(cfg.get('model'), Mapping):
        raise UserError(f'{cfg.filename} has no model')
    student = student_of(cfg.model)
    if not isinstance(student, Mapping):
        raise UserError(f"model.student is '{student}': the search varies its fields, so write it as a "
                        'config: _base_ = [that file], student=_base_.model')
    return student


def _teacher_cfg(cfg: Config, given: Any) -> Any:
    """The model of the teacher that the search compares with, and its scope."""
    scope = cfg.get('default_scope')
    if given is None:
        teachers = cfg.model.get('teachers') or {}
        if len(teachers) != 1:
            raise UserError(f'search.teacher is missing: give a config file or a model (model.teachers has '
                            f'{len(teachers)})')
        given = next(iter(teachers.values()))['model']
    if isinstance(given, str):
        loaded = load_config(given)
        model = dict(loaded.model, data_preprocessor=None)
        return {**model, '_scope_': loaded.get('default_scope') or scope}
    return given


def _identity(cfg: Config, settings: SearchSettings, space: SearchSpace, teacher: Any, device: str,
              batch: str) -> dict[str, Any]:
    """What scores and their order depend on; the number of evaluations may grow."""
    from dataclasses import asdict
    values = {f'search.{key}': value for key, value in asdict(settings).items()
              if key not in ('space', 'teacher', 'evaluations', 'score')}
    return dict(values, **{
        'search.space': repr(dict(zip(space.fields, space.choices))), 'search.teacher': repr(teacher),
        'search.score': repr(settings.score), 'model': repr(_student_cfg(cfg)),
        'device': device.partition(':')[0], 'the batch of images': batch})


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """What a config's values make its classes raise, as one sentence."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f'{what} does not work: {type(error).__name__}: {error}') from error


class _Progress:
    """Lines that say how far the search is."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.new, self.refused = total, 0, 0, 0
        self.best = float('-inf')
        self.started = time.monotonic()

    def __call__(self, candidate: Candidate, new: bool) -> None:
        self.new += new
        if not candidate.scored:
            self.refused += 1
            return
        self.done += 1
        self.best = max(self.best, candidate.value)
        if self.new and (self.done % max(1, self.total // _REPORTS) == 0 or self.done == self.total):
            each = (time.monotonic() - self.started) / self.new
            refused = f', {self.refused} refused' if self.refused else ''
            print(f'{self.done}/{self.total} scored{refused}, best {self.best:.4f}, {each:.2f} s each, '
                  f'{each * (self.total - self.done):.0f} s left', flush=True)


def run(args: argparse.Namespace) -> int:
    """Search, then write the results.

    Raises:
        UserError: If the config, the data or the work directory does not fit.
    """
    cfg = load_config(args.config, args.cfg_options)
    hosts.repair()
    from ..apis.model import pick_device, quiet_hosts
    from ..engine.student_search import Evaluator, SearchSettings, SearchSpace, StudentSearcher
    from ..engine.student_search.batch import digest, labelled_batch
    from ..engine.student_search.candidate import built
    from ..engine.student_search.state import FILE, SearchState
    from ..registry import TASK_UTILS
    settings = SearchSettings.from_cfg(cfg.get('search'))
    student = _student_cfg(cfg)
    preprocessor = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor')
    if preprocessor:
        student.setdefault('data_preprocessor', preprocessor)  # type: ignore[attr-defined]
    space = SearchSpace.from_cfg(settings.space, cfg)
    teacher = _teacher_cfg(cfg, settings.teacher)
    folder = Path(default_work_dir(cfg, args.work_dir))
    if (folder / FILE).exists() and not args.resume:
        raise UserError(f'{folder / FILE} has a search already: --resume goes on with it, --work-dir takes '
                        'another place')
    device = pick_device(args.device)
    score = TASK_UTILS.build(settings.score or dict(type='mmext.DisWOTScore'))
    scope = cfg.get('default_scope')
    with quiet_hosts():
        with _explained('the model of the config'):
            own = built(student, scope)
        images, labels = labelled_batch(cfg, own.data_preprocessor, settings.batch_size, settings.seed)
        state = SearchState(folder / FILE, _identity(cfg, settings, space, teacher, device.type,
                                                     digest(images, labels)))
        if (folder / FILE).exists():
            state.load()
            print(f'goes on with {len(state.candidates)} candidates of {folder / FILE}', flush=True)
        with _explained('search.teacher'):
            score.prepare(lambda: built(teacher, scope), images.to(device), labels.to(device),
                          settings.seed)
    evaluator = Evaluator(cfg, space, score, tuple(images.shape[1:]), settings.max_params,
                          settings.max_flops)
    searcher = StudentSearcher(space, evaluator, settings.population, settings.tournament,
                               settings.evaluations, settings.strategy, settings.seed)
    total = min(settings.evaluations, space.size)
    print(f'{space.size:,} candidates in {len(space.fields)} fields; scores {total} with '
          f'{len(images)} images on {device}', flush=True)
    progress = _Progress(total)

    def on_candidate(candidate: Candidate, new: bool) -> None:
        if new:
            state.add(candidate)
        progress(candidate, new)

    found = list(searcher.run(state.candidates, on_candidate).values())
    _finish(folder, evaluator, found, score.ranked_by, args.config)
    return 0


def _brief(choice: Any) -> str:
    """A choice in the table; of one that sets several keys the first value."""
    return str(next(iter(choice.values())) if isinstance(choice, Mapping) and choice else choice)


def _finish(folder: Path, evaluator: Any, found: list[Candidate], name: str, source: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from ..engine.student_search.candidate import CAPS
    from ..engine.student_search.report import draw, ranked, write_student, write_table
    best, space = ranked(found), evaluator.space
    table = Table('rank', *best[0].scores, 'parameters', 'FLOPs', 'choices', box=box.SIMPLE_HEAD)
    for rank, one in enumerate(best[:_SHOWN], 1):
        table.add_row(str(rank), *(f'{value:.4f}' for value in one.scores.values()), f'{one.params:,}',
                      f'{one.flops:,}', ' '.join(map(_brief, space.describe(one.genes).values())))
    Console().print(table)
    for key, value in space.describe(best[0].genes).items():
        print(f'best: {key} = {value}')
    broken = [one for one in found if one.refused not in ('', *CAPS)]
    if broken:
        print(f'{len(broken)} candidates have no score; {space.describe(broken[0].genes)}: '
              f'{broken[0].refused}')
    write_table(folder / 'candidates.csv', space, found)
    draw(folder / 'search.png', found, name, f'{source}: {len(best)} students without training')
    write_student(folder / 'student.py', evaluator.config(best[0].genes), best[0],
                  space.describe(best[0].genes))
    for file in ('student.py', 'candidates.csv', 'search.png'):
        print(f'wrote {folder / file}')


def main(argv: Sequence[str] | None = None) -> int:
    """``tools/search_student.py``."""
    return run_command(__name__, argv)
