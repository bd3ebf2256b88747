"""Draw what a model takes for what: confusion_matrix.png from the results of a test.

PREDICTIONS is the .pkl of `tools/test.py --out`; for segmentation also the predictions.json of
`tools/infer.py` or a folder of label maps that mmseg's IoUMetric(output_dir=...) wrote.

The config's default_scope decides who draws. Detection and classification: mmdet's and
mmpretrain's own tools. Rotated detection: mmrotate's, with one repair, it fails on pictures without
objects. Segmentation: mmext's, because mmseg's multiplies 8-bit labels (wrong beyond 16 classes),
ignores the classes that a config states, and draws 150 classes on 300 by 240 inches.
"""
from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmext import hosts
from mmext.apis.writers import replacing
from mmext.cli._common import add_config_arguments, run_command
from mmext.cli.config import find_config, load_config
from mmext.cli.host_tool import host_tool_namespace, run_host_tool
from mmext.errors import UserError

TOOL = 'analysis_tools/confusion_matrix.py'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config_arguments(parser)
    parser.add_argument('predictions', type=Path,
                        help='.pkl of a test; for segmentation also the predictions.json of infer '
                             'or a folder of label maps')
    parser.add_argument('save_dir', type=Path, help='where the matrix goes')
    parser.add_argument('--score-thr', type=float, default=0.3,
                        help='detections below this score are left out (default: %(default)s)')
    parser.add_argument('--tp-iou-thr', type=float, default=0.5,
                        help='IoU from which a detection matches (default: %(default)s)')
    parser.add_argument('--nms-iou-thr', type=float, help='run NMS at this IoU first')


def _detection_argv(args: argparse.Namespace) -> list[str]:
    argv = [str(find_config(args.config)), str(args.predictions), str(args.save_dir),
            '--score-thr', str(args.score_thr), '--tp-iou-thr', str(args.tp_iou_thr)]
    argv += ['--nms-iou-thr', str(args.nms_iou_thr)] if args.nms_iou_thr is not None else []
    return argv + _options(args)


def _options(args: argparse.Namespace) -> list[str]:
    return ['--cfg-options', *args.cfg_options] if args.cfg_options else []


def _rotated(args: argparse.Namespace) -> int:
    with host_tool_namespace('mmrotate', TOOL, _detection_argv(args)) as tool:
        analyse = tool['analyze_per_img_dets']

        def with_empty_pictures(matrix: np.ndarray, truth: Sequence[Any], result: Any,
                                score_thr: float = 0, *rest: Any) -> None:
            if truth:
                analyse(matrix, truth, result, score_thr, *rest)
                return
            for label in result['labels'][result['scores'] >= score_thr].tolist():
                matrix[-1, label] += 1  # found where there is nothing

        tool['analyze_per_img_dets'] = with_empty_pictures
        tool['main']()
    return 0


def _classification(args: argparse.Namespace) -> int:
    args.save_dir.mkdir(parents=True, exist_ok=True)
    argv = [str(find_config(args.config)), str(args.predictions), '--include-values',
            '--show-path', str(args.save_dir / 'confusion_matrix.png'),
            '--out', str(args.save_dir / 'confusion_matrix.pkl')]
    return run_host_tool('mmpretrain', TOOL, argv + _options(args))


def _segmentation(args: argparse.Namespace) -> int:
    from mmengine.registry import DATASETS, DefaultScope

    from mmext.engine.analysis.confusion import (
        draw_confusion,
        pixel_confusion,
        predicted_label_maps,
        truth_and_prediction,
    )
    hosts.repair()
    cfg = load_config(args.config, args.cfg_options)
    with DefaultScope.overwrite_default_scope('mmseg'):
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
    names = dataset.metainfo['classes']
    maps = predicted_label_maps(args.predictions, bool(dataset.reduce_zero_label))
    matrix = pixel_confusion(truth_and_prediction(dataset, maps), len(names))
    with replacing(args.save_dir / 'confusion_matrix.png') as path:
        draw_confusion(matrix, names, path)
    with (replacing(args.save_dir / 'confusion_matrix.csv') as path,
          path.open('w', newline='', encoding='utf-8') as file):
        writer = csv.writer(file)
        writer.writerow(['true \\ predicted (pixels)', *names])
        writer.writerows([name, *row] for name, row in zip(names, matrix.tolist(), strict=True))
    return 0


def run(args: argparse.Namespace) -> int:
    """Draw the matrix with the tool of the config's host.

    Raises:
        UserError: If the config or the predictions are missing, or the host has no such tool.
    """
    if not args.predictions.exists():
        raise UserError(f"no predictions at '{args.predictions}': tools/test.py --out makes them")
    scope = load_config(args.config, args.cfg_options).get('default_scope')
    if scope == 'mmdet':
        code = run_host_tool('mmdet', TOOL, _detection_argv(args))
    elif scope == 'mmrotate':
        code = _rotated(args)
    elif scope == 'mmpretrain':
        code = _classification(args)
    elif scope == 'mmseg':
        code = _segmentation(args)
    else:
        raise UserError(f"default_scope is {scope!r}; confusion matrices are for mmdet, mmrotate, "
                        'mmseg and mmpretrain configs')
    if code == 0:
        print(f'\nwritten to {args.save_dir}')
    return code


if __name__ == '__main__':
    sys.exit(run_command(__name__))
