"""Sort a detector's errors into six kinds and say what each costs: a table, curves and pictures.

PREDICTIONS is the .pkl of `tools/test.py --out`. Written to SAVE_DIR:

  analysis.html                 all of it on one page that needs no other file
  errors.csv, errors.png        classification, localisation, both, duplicate, background, missed
  classes.csv, instances.png    AP, recall and number of objects of each class
  curves.png                    precision against recall
  confusion.csv, confusion.png  which class is taken for which

Upright and oriented boxes alike. The kinds are those of TIDE (Bolya et al., ECCV 2020).
"""
from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable
from pathlib import Path

from mmext import hosts
from mmext.apis.writers import replacing
from mmext.cli._common import add_config_arguments, run_command
from mmext.cli.config import load_config
from mmext.errors import UserError

HOSTS = ('mmdet', 'mmrotate')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config_arguments(parser)
    parser.add_argument('predictions', type=Path, help='.pkl of a test')
    parser.add_argument('save_dir', type=Path, help='where tables and pictures go')
    parser.add_argument('--iou-thr', type=float, default=0.5,
                        help='IoU from which a detection has found an object (default: %(default)s)')
    parser.add_argument('--background-thr', type=float, default=0.1,
                        help='IoU below which it lies on nothing (default: %(default)s)')
    parser.add_argument('--score-thr', type=float, default=0.3,
                        help='score below which a detection is left out of the confusion matrix '
                             '(default: %(default)s)')


def _write_csv(path: Path, rows: Iterable[Iterable[object]]) -> None:
    with replacing(path) as temporary, temporary.open('w', newline='', encoding='utf-8') as file:
        csv.writer(file).writerows(rows)


def run(args: argparse.Namespace) -> int:
    """Read, sort, draw.

    Raises:
        UserError: If the config is no detector's, or the predictions are missing or of other data.
    """
    if not args.predictions.is_file():
        raise UserError(f"no predictions at '{args.predictions}': tools/test.py --out makes them")
    if args.predictions.suffix not in ('.pkl', '.pickle'):
        raise UserError(f"'{args.predictions}': expected the .pkl file of tools/test.py --out")
    if not 0 < args.background_thr <= args.iou_thr <= 1:
        raise UserError(f'--iou-thr {args.iou_thr}, --background-thr {args.background_thr}: expected 0 < '
                        'background-thr <= iou-thr <= 1')
    cfg = load_config(args.config, args.cfg_options)
    scope = cfg.get('default_scope')
    if scope not in HOSTS:
        raise UserError(f"default_scope is {scope!r}; error types are for detectors of "
                        f"{' and '.join(HOSTS)}")
    hosts.repair()
    from mmengine.fileio import load
    from mmengine.registry import DATASETS, DefaultScope, init_default_scope
    from terminaltables import AsciiTable

    from mmext.engine.analysis.confusion import draw_confusion
    from mmext.evaluation import analysis
    from mmext.evaluation.analysis import drawing
    from mmext.leaderboard.analysis_page import analysis_text

    init_default_scope(scope)
    with DefaultScope.overwrite_default_scope(scope):
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
    names = list(dataset.metainfo['classes'])
    objects, found = analysis.read_boxes(dataset, load(str(args.predictions)))
    report = analysis.error_types(objects, found, len(names), args.iou_thr, args.background_thr)
    curves = analysis.precision_recall(objects, found, len(names), args.iou_thr)
    confusion = analysis.box_confusion(objects, found, len(names), args.iou_thr, args.score_thr)

    out = args.save_dir
    table = drawing.error_table(report, names)
    _write_csv(out / 'errors.csv', table)
    _write_csv(out / 'classes.csv', [
        ['class', 'objects', 'found', 'recall', f'AP{round(100 * args.iou_thr)}'],
        *([name, one.objects, len(one.scores), one.recall[-1] if len(one.recall) else 0, one.ap]
          for name, one in zip(names, curves))])
    both = [*names, 'nothing']
    _write_csv(out / 'confusion.csv', [
        ['true \\ detected', *both], *([name, *row] for name, row in zip(both, confusion.tolist()))])
    for name, draw in (('errors', lambda path: drawing.draw_errors(report, path)),
                       ('curves', lambda path: drawing.draw_curves(curves, names, path)),
                       ('instances', lambda path: drawing.draw_by_instances(curves, names, path)),
                       ('confusion', lambda path: draw_confusion(confusion, both, path))):
        with replacing(out / f'{name}.png') as path:
            draw(path)
    with replacing(out / 'analysis.html') as path:
        path.write_text(analysis_text(Path(args.config).stem, report, curves, confusion, names, args.iou_thr),
                        encoding='utf-8')

    text = AsciiTable(table)
    print(f'AP{round(100 * args.iou_thr)} {report.ap:.3f}; without wrong detections '
          f'{report.ap + report.gain_false_positives:.3f}, with nothing left to find '
          f'{report.ap + report.gain_false_negatives:.3f}\n{text.table}\nwritten to {out}')
    return 0


if __name__ == '__main__':
    sys.exit(run_command(__name__))
