"""Predict on images, folders, globs and videos: pictures and one JSON of the predictions.

Writes under --out-dir: vis/ (the predictions drawn), labels/ (label maps of segmentation models, as
PNG), predictions.json, and for every video vis/NAME.mp4 and predictions/NAME.jsonl, one line per
frame. The records are described in mmext/apis/prediction.py.
"""
from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ._common import add_config_arguments, run_command, show_error

if TYPE_CHECKING:
    from ..apis import Inferencer, Prediction
    from ..apis.inputs import Source, Sources
    from ..apis.writers import PredictionsFile

_SHOWN_FAILURES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help="weights (file or URL), or 'none': an untrained model")
    parser.add_argument('inputs', nargs='+', metavar='input',
                        help='image, folder (with subfolders), glob, or video')
    parser.add_argument('--out-dir', type=Path, default=Path('outputs'),
                        help='where results go (default: %(default)s)')
    parser.add_argument('--classes', metavar='NAMES',
                        help='what to look for, separated by commas, with an open-vocabulary model')
    parser.add_argument('--score-thr', type=float, default=0.3,
                        help='leave out instances below this score (default: %(default)s)')
    parser.add_argument('--batch-size', type=int, default=1,
                        help='pictures per step (default: %(default)s)')
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: a GPU if there is one)')
    parser.add_argument('--no-vis', action='store_true', help='draw no pictures')
    parser.add_argument('--no-json', action='store_true',
                        help='write no predictions and no label maps')
    parser.add_argument('--trust-checkpoint', action='store_true',
                        help='read a checkpoint even if that runs code from it')


class _Run:
    """One run's settings and bookkeeping."""

    def __init__(self, args: argparse.Namespace, inferencer: Inferencer) -> None:
        self.args, self.inferencer = args, inferencer
        self.out: Path = args.out_dir
        self.done = 0
        self.failures: list[tuple[str, str]] = []

    def header(self) -> dict[str, Any]:
        """What a predictions file says once."""
        args = self.args
        return dict(format='mmext-predictions', version=1, config=args.config,
                    checkpoint=args.checkpoint, score_thr=args.score_thr,
                    classes=list(self.inferencer.classes))

    def fail(self, file: str, reason: str) -> None:
        """Note a file without a result."""
        self.failures.append((file, reason))

    def record(self, prediction: Prediction, name: str) -> dict[str, Any]:
        """A picture's record; its label map is written on the way."""
        from ..apis.writers import label_picture, write_image
        record = dict(file=prediction.source, **prediction.to_dict(self.args.score_thr))
        labels = prediction.label_map()
        if labels is not None:
            path = self.out / 'labels' / f'{name}.png'
            write_image(path, label_picture(labels, record['task'].startswith('panoptic')))
            record['label_map'] = path.relative_to(self.out).as_posix()
        return record

    def image(self, prediction: Prediction, name: str, file: PredictionsFile | None) -> None:
        """Write what one picture gives."""
        from ..apis.writers import write_image
        source = str(prediction.source)
        reason = prediction.error
        try:
            if reason is None and prediction.caption:
                print(f'{source}: {prediction.caption}')
            if reason is None and not self.args.no_vis:
                picture = self.out / 'vis' / f'{name}.jpg'
                write_image(picture, prediction.draw(self.args.score_thr))
            if reason is None and file is not None:
                record = self.record(prediction, name)
                if not self.args.no_vis:
                    record['picture'] = picture.relative_to(self.out).as_posix()
                file.add(record)
        except OSError as error:
            raise UserError(f'cannot write under {self.out}: {error}') from error
        except Exception as error:  # a visualizer may choke on one odd result
            reason = f'drawing or writing it: {type(error).__name__}: {error}'
        if reason is None:
            self.done += 1
            return
        self.fail(source, reason)
        if file is not None:
            file.fail(source, reason)

    def images(self, sources: Sequence[Source], advance: Any) -> None:
        """All pictures, one predictions file."""
        from ..apis.writers import PredictionsFile
        with ExitStack() as stack:
            file = None
            if not self.args.no_json:
                file = stack.enter_context(
                    PredictionsFile(self.out / 'predictions.json', self.header()))
            paths = (source.path for source in sources)
            predictions = self.inferencer(paths, self.args.batch_size)
            for source, prediction in zip(sources, predictions, strict=True):
                self.image(prediction, source.name, file)
                advance()

    def video(self, source: Source, advance: Any) -> None:
        """One video: its frames drawn, and a line of JSON for each."""
        from ..apis.writers import VideoWriter, frames_per_second, replacing
        with ExitStack() as stack:
            drawn = lines = None
            for prediction in self.inferencer([source.path], self.args.batch_size):
                if prediction.error is not None:
                    where = '' if prediction.image is None else f' (frame {prediction.index})'
                    self.fail(f'{source.path}{where}', prediction.error)
                    if prediction.image is None:
                        return
                if drawn is None and not self.args.no_vis:
                    fps = frames_per_second(source.path)
                    drawn = stack.enter_context(
                        VideoWriter(self.out / 'vis' / f'{source.name}.mp4', fps))
                if lines is None and not self.args.no_json:
                    path = stack.enter_context(
                        replacing(self.out / 'predictions' / f'{source.name}.jsonl'))
                    lines = stack.enter_context(path.open('w', encoding='utf-8'))
                try:
                    self._frame(prediction, source.name, drawn, lines)
                except OSError as error:
                    raise UserError(f'cannot write under {self.out}: {error}') from error
                advance()
        self.done += 1

    def _frame(self, prediction: Prediction, name: str, drawn: Any, lines: Any) -> None:
        assert prediction.image is not None
        # A frame without a result stays in the video as it is, so that its timing is kept.
        frame, record = prediction.image, dict(error=prediction.error)
        if prediction.error is None:
            try:
                if drawn is not None:
                    frame = prediction.draw(self.args.score_thr)
                if lines is not None:
                    record = self.record(prediction, f'{name}/{prediction.index:06d}')
            except OSError:
                raise
            except Exception as error:  # a visualizer may choke on one odd result
                reason = f'{type(error).__name__}: {error}'
                self.fail(f'{prediction.source} (frame {prediction.index})', reason)
                record = dict(error=reason)
        if drawn is not None:
            drawn.add(frame)
        if lines is not None:
            lines.write(json.dumps(dict(frame=prediction.index, **record), ensure_ascii=False))
            lines.write('\n')


def _progress() -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )
    console = Console(stderr=True)
    return Progress(TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
                    TextColumn('{task.fields[rate]}'), TimeRemainingColumn(), console=console,
                    disable=not console.is_terminal)


def _work(run: _Run, found: Sources) -> None:
    with _progress() as progress:
        if found.images:
            bar = progress.add_task('images', total=len(found.images), rate='')

            def advance() -> None:
                progress.advance(bar)
                speed = progress.tasks[bar].speed
                progress.update(bar, rate=f'{speed:.1f} images/s' if speed else '')

            run.images(found.images, advance)
        for video in found.videos:
            frames = progress.add_task(video.path.name, total=None, rate='')
            run.video(video, lambda task=frames: progress.advance(task))


def _summary(run: _Run, found: Sources) -> int:
    total = len(found.images) + len(found.videos)
    ignored = f', {found.ignored} other files left alone' if found.ignored else ''
    print(f'{run.done} of {total} done{ignored}; results in {run.out}')
    if not run.failures:
        return 0
    more = len(run.failures) - _SHOWN_FAILURES
    lines = [f'  {file}: {reason}' for file, reason in run.failures[:_SHOWN_FAILURES]]
    lines += [f'  and {more} more'] if more > 0 else []
    show_error('\n'.join([f'{len(run.failures)} without a result:', *lines]))
    return 1


def run(args: argparse.Namespace) -> int:
    """Predict on everything; what fails is listed at the end.

    Returns:
        0 if every input has a result, else 1.

    Raises:
        UserError: If there is nothing to do or an argument is wrong.
    """
    if not 0 <= args.score_thr <= 1:
        raise UserError(f'--score-thr {args.score_thr}: expected a number from 0 to 1')
    if args.batch_size < 1:
        raise UserError(f'--batch-size {args.batch_size}: expected 1 or more')
    if args.no_vis and args.no_json:
        raise UserError('--no-vis and --no-json together leave nothing to write')
    if args.out_dir.exists() and not args.out_dir.is_dir():
        raise UserError(f'--out-dir {args.out_dir} is a file')
    names = None if args.classes is None else [name.strip() for name in args.classes.split(',')]
    if names is not None and not all(names):
        raise UserError(f"--classes '{args.classes}': expected names separated by commas")
    from ..apis import Inferencer
    from ..apis.inputs import find_sources
    from ..apis.model import quiet_hosts
    found = find_sources(args.inputs, skip=args.out_dir)
    with quiet_hosts():
        inferencer = Inferencer(args.config, None if args.checkpoint == 'none' else args.checkpoint,
                                args.device, cfg_options=args.cfg_options,
                                trust_checkpoint=args.trust_checkpoint)
        if names:
            inferencer.set_classes(names)
        if args.checkpoint == 'none':
            print('warning: no checkpoint, the predictions are those of an untrained model',
                  file=sys.stderr)
        state = _Run(args, inferencer)
        _work(state, found)
    return _summary(state, found)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see :func:`mmext.cli._common.run_command`."""
    return run_command(__name__, argv)
