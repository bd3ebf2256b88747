"""Fuse the results of several detectors by calibrated scores (PRAE), off-line."""
from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ._common import is_main_process, run_command

if TYPE_CHECKING:
    from ..models.ensemble.calibrator import PRAECalibrator
    from ..models.ensemble.results import Results, Split

METHODS = ('p_nms', 'nms', 'soft_nms', 'nmw', 'wbf')
BANDITS = ('none', 'ucb', 'lcb', 'wilson', 'raw')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``fit``, ``fuse`` and ``evaluate``."""
    actions = parser.add_subparsers(dest='action', required=True, metavar='fit|fuse|evaluate')
    fit = actions.add_parser('fit', help='count what scores are worth on a labelled split')
    _add_data(fit)
    fit.add_argument('--out', required=True, help='calibration file to write (.json)')
    fit.add_argument('--plot', help='also draw reliability diagrams (.png)')
    fit.add_argument('--num-bins', type=int, default=20, help='score bins (default: 20)')
    fit.add_argument('--iou-thrs', type=float, nargs='+', metavar='IOU',
                     help='IoU thresholds of a right detection (default: 0.5:0.05:0.95 for COCO, 0.5 for '
                          'DOTA)')
    fit.add_argument('--area-edges', type=float, nargs='*', default=[], metavar='AREA',
                     help="square pixels between small and large boxes, for example COCO's 1024 9216")
    fit.add_argument('--assign', choices=['independent', 'greedy'], default='independent',
                     help='greedy: each object makes one detection right')
    fit.add_argument('--bandit', choices=[*BANDITS, 'auto'], default='auto',
                     help='correction of rarely seen scores; auto: the best of raw, none and ucb by '
                          'cross-validation (default)')
    fit.add_argument('--alpha', type=float, default=0.1, help='strength of the correction (default: 0.1)')
    fit.add_argument('--min-count', type=int, default=1, help='detections that a cell needs (default: 1)')
    fit.add_argument('--monotone', action='store_true', help='higher scores are never worth less')
    fit.add_argument('--folds', type=int, default=5, help='of the cross-validation (default: 5)')
    fuse = actions.add_parser('fuse', help='fuse result files into one')
    _add_data(fuse)
    _add_fusion(fuse)
    fuse.add_argument('--method', choices=METHODS, default='p_nms', help='how to fuse (default: p_nms)')
    fuse.add_argument('--out', required=True, help='result file (.json) or, for DOTA, new folder to write')
    evaluate = actions.add_parser('evaluate', help='compare single detectors and all ways to fuse them')
    _add_data(evaluate)
    _add_fusion(evaluate)
    evaluate.add_argument('--methods', nargs='+', metavar='METHOD', choices=METHODS, default=list(METHODS),
                          help=f"of {', '.join(METHODS)} (default: all)")
    evaluate.add_argument('--out', help='also write the table (.md)')


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--results', nargs='+', required=True, metavar='[NAME=]FILE',
                        help="each detector's results: COCO result file (.bbox.json, .segm.json), or folder "
                             'of DOTA Task 1 files')
    parser.add_argument('--ann', required=True,
                        help='COCO annotation or image-info file, or folder of DOTA label files')
    parser.add_argument('--classes', nargs='+', metavar='NAME', help="DOTA: other classes than v1.0's")


def _add_fusion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--calibration', help='file of mmext ensemble fit; p_nms needs it')
    parser.add_argument('--iou-threshold', type=float, default=0.5, help='of all methods (default: 0.5)')
    parser.add_argument('--max-per-img', type=int, default=100,
                        help='detections an image at most, -1 for all (default: 100)')
    parser.add_argument('--score-thr', type=float, default=0.0, help='leave out lower raw scores')


def _progress(what: str) -> Callable[[int, int], None]:
    def show(done: int, total: int) -> None:
        if sys.stderr.isatty() and is_main_process():
            end = '\n' if done == total else ''
            print(f'\r{what}: {done:,} of {total:,} detections', end=end, file=sys.stderr, flush=True)
    return show


def _read(args: argparse.Namespace) -> tuple[Split, Results]:
    from ..models.ensemble.results import read_results, read_split

    split = read_split(Path(args.ann), args.classes)
    return split, read_results(args.results, split)


def _calibration(args: argparse.Namespace, split: Split, results: Results) -> PRAECalibrator | None:
    from ..models.ensemble.calibrator import PRAECalibrator

    if not args.calibration:
        return None
    calibrator = PRAECalibrator.load(args.calibration)
    calibrator.require(results.names, split.classes, '--results')
    return calibrator


def _fusion(args: argparse.Namespace, method: str) -> Any:
    from ..models.ensemble.fusion import PRAEFusion
    return PRAEFusion(dict(type=method, iou_threshold=args.iou_threshold), args.max_per_img, args.score_thr)


def fit(args: argparse.Namespace) -> int:
    """Write a calibration; returns 0.

    Raises:
        UserError: For results or annotations that cannot be used; nothing is written then.
    """
    from ..models.ensemble.calibrator import PRAECalibrator
    from ..models.ensemble.evaluate import THRESHOLDS
    from ..models.ensemble.plots import calibration_error, draw_reliability

    _check_out(args.out, '.json', '--out')
    _check_out(args.plot, '.png', '--plot')
    split, (found, names, _) = _read(args)
    thresholds = args.iou_thrs or (THRESHOLDS if split.kind == 'coco' else [0.5])
    calibrator = PRAECalibrator(
        args.num_bins, thresholds, args.area_edges, args.assign,
        'ucb' if args.bandit == 'auto' else args.bandit, args.alpha, args.min_count, args.monotone)
    arguments = (found, split.objects, names, split.classes)
    if args.bandit == 'auto':
        calibrator.select(*arguments, folds=args.folds, progress=_progress('fitting'))
        scores = ', '.join(f'{name} {100 * ap:.2f}' for name, ap in calibrator.selection.items())
        print(f'cross-validated AP: {scores}; chosen: {calibrator.bandit}')
    else:
        calibrator.fit(*arguments, progress=_progress('fitting'))
    calibrator.save(args.out)
    print(f'wrote {args.out}: {len(found):,} detections of {len(names)} detectors, '
          f'{len(split.objects.image):,} objects')
    for number, name in enumerate(names):
        print(f'  {name}: calibration error {calibration_error(calibrator, number):.3f}')
    if args.plot:
        draw_reliability(calibrator, Path(args.plot))
        print(f'wrote {args.plot}')
    return 0


def _check_out(path: str | None, suffix: str, option: str) -> None:
    if path is not None and Path(path).suffix != suffix:
        raise UserError(f"{option}: '{path}' must end in {suffix}")


def fuse(args: argparse.Namespace) -> int:
    """Write fused results; returns 0.

    Raises:
        UserError: For results or a calibration that do not fit each other; nothing is written then.
    """
    from ..models.ensemble.results import write_results

    split, results = _read(args)
    if split.kind == 'coco':
        _check_out(args.out, '.json', '--out')
    calibrator = _calibration(args, split, results)
    if calibrator is None and args.method == 'p_nms':
        raise UserError('--method p_nms ranks by a calibration: give --calibration (mmext ensemble fit '
                        'makes it), or choose nms')
    fused = _fusion(args, args.method)(results.found, calibrator, len(results.names), _progress('fusing'))
    masks = None if results.masks is None else [results.masks[row] for row in fused.source.tolist()]
    written = write_results(Path(args.out), fused.detections, split, masks)
    print(f'wrote {written}: {len(fused.detections):,} of {len(results.found):,} detections')
    return 0


def evaluate(args: argparse.Namespace) -> int:
    """Print a table of single detectors and fusions; returns 0.

    Raises:
        UserError: As :func:`fuse`, and if the split has no objects.
    """
    from rich.console import Console
    from rich.table import Table

    from ..apis.writers import replacing
    from ..models.ensemble.evaluate import figures

    _check_out(args.out, '.md', '--out')
    split, results = _read(args)
    if not len(split.objects.image):
        raise UserError(f'{args.ann} has no objects: there is nothing to evaluate against')
    calibrator = _calibration(args, split, results)
    rows: list[tuple[str, dict[str, float]]] = []
    for number, name in enumerate(results.names):
        rows.append((name, figures(results.found[results.found.detector == number], split)))
    for method in args.methods:
        if method == 'p_nms' and calibrator is None:
            print('p_nms is left out: it needs --calibration', file=sys.stderr)
            continue
        title = f'PRAE ({calibrator.bandit})' if calibrator and method == 'p_nms' else method
        fused = _fusion(args, method)(results.found, calibrator if method == 'p_nms' else None,
                                      len(results.names), _progress(method))
        rows.append((title, figures(fused.detections, split)))
    table = Table('', *rows[0][1])
    for title, values in rows:
        table.add_row(title, *(f'{value:.2f}' for value in values.values()))
    Console().print(table)
    if args.out:
        lines = [f"| | {' | '.join(rows[0][1])} |", '|---|' + '--:|' * len(rows[0][1])]
        lines += [f"| {title} | {' | '.join(f'{value:.2f}' for value in values.values())} |"
                  for title, values in rows]
        with replacing(Path(args.out)) as temporary:
            temporary.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return 0


def run(args: argparse.Namespace) -> int:
    """Do what ``args.action`` says; returns 0."""
    actions: dict[str, Callable[[argparse.Namespace], int]] = dict(fit=fit, fuse=fuse, evaluate=evaluate)
    return actions[args.action](args)


def main(argv: Sequence[str] | None = None) -> int:
    """``mmext ensemble``."""
    return run_command(__name__, argv)
