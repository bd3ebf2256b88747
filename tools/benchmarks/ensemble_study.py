"""Ensembles of three toy detectors, over seeds: single detectors, NMS, Soft-NMS, NMW, WBF, PRAE.

    python tools/benchmarks/ensemble_study.py --seeds 0 1 2 3 4 --out docs/benchmarks/ensemble_study.md

Each seed trains its own three detectors and draws its own scenes to fit and to test on, so seeds are
independent. What is done already is not repeated.
"""
from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy import stats

from mmext.apis.writers import replacing

ROOT = Path(__file__).parents[2]
DETECTORS = {name: f'configs/{name}/atss_{name}_{neck}_toy.py'
             for name, neck in (('emov2', 'fpn'), ('biformer', 'fpn'), ('dsnet', 'dsfpn'))}
METHODS = ('nms', 'soft_nms', 'nmw', 'wbf', 'p_nms')
TITLES = dict(nms='NMS', soft_nms='Soft-NMS', nmw='NMW', wbf='WBF')
HEADING = """# PRAE and its comparators on the toy scenes

Made by `python tools/benchmarks/ensemble_study.py`: three toy detectors of {epochs} epochs each, 200
scenes to fit the calibration, 200 to test, IoU threshold 0.6. Every seed ({seeds}) has its own detectors and
its own scenes. COCO box AP, mean and 95 % interval (Student's t) over seeds; the last column is the gain
over NMS of the same boxes, seed by seed. PRAE is [our reading](../../configs/prae/README.md), its correction
chosen by cross-validation on the fitting scenes ({chosen}).

"""


def call(*command: str, data: Path | None = None) -> str:
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    if data is not None:
        environment['MMEXT_TOY_DATA'] = str(data)
    done = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, check=False,
                          capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f'{" ".join(command)}\n{done.stderr[-2000:]}')
    return done.stdout


def one_seed(seed: int, folder: Path, epochs: int) -> tuple[dict[str, list[float]], str]:
    """AP, AP50 and AP75 of each row, and the correction that was chosen."""
    data = {part: folder / f'scenes-{part}-{seed}' for part in ('fit', 'test')}
    for number, root in enumerate(data.values()):
        if not (root / 'coco').exists():
            call('tools/dataset_converters/make_toy_data.py', '--root', str(root), '--formats', 'coco',
                 '--num-train', '1', '--num-val', '200', '--seed', str(1000 + 2 * seed + number))
    for name, config in DETECTORS.items():
        work = folder / f'{name}-{seed}'
        if not (work / f'epoch_{epochs}.pth').exists():
            call('tools/train.py', config, '--work-dir', str(work), '--seed', str(seed), '--no-leaderboard',
                 '--no-validate', '--cfg-options', f'train_cfg.max_epochs={epochs}',
                 f'param_scheduler.1.T_max={epochs}', f'param_scheduler.1.end={epochs}',
                 f'default_hooks.checkpoint.interval={epochs}')
        for part, root in data.items():
            if not (work / f'{part}.bbox.json').exists():
                call('tools/test.py', config, str(work / f'epoch_{epochs}.pth'), '--work-dir',
                     str(work / part), '--no-leaderboard', '--cfg-options',
                     f'test_evaluator.outfile_prefix={work / part}', data=root)
    calibration, table = folder / f'calibration-{seed}.json', folder / f'table-{seed}.md'
    truth = {part: next((root / 'coco').rglob('instances_val.json')) for part, root in data.items()}
    results = {part: [f'{name}={folder / f"{name}-{seed}" / part}.bbox.json' for name in DETECTORS]
               for part in data}
    printed = call('-m', 'mmext', 'ensemble', 'fit', '--results', *results['fit'], '--ann', str(truth['fit']),
                   '--out', str(calibration))
    call('-m', 'mmext', 'ensemble', 'evaluate', '--results', *results['test'], '--ann', str(truth['test']),
         '--calibration', str(calibration), '--methods', *METHODS, '--iou-threshold', '0.6',
         '--out', str(table))
    chosen = printed.partition('chosen: ')[2].split()[0]
    rows = [[cell.strip() for cell in line.strip('|\n').split('|')] for line in table.open()]
    columns = [rows[0].index(name) for name in ('AP', 'AP50', 'AP75')]
    return {'PRAE' if row[0].startswith('PRAE') else TITLES.get(row[0], row[0]):
            [float(row[column]) for column in columns] for row in rows[2:]}, chosen


def interval(values: np.ndarray) -> str:
    """Mean and half width of the 95 % interval."""
    if len(values) == 1:
        return f'{values[0]:.1f}'
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values)**0.5
    return f'{values.mean():.1f} ± {half:.1f}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2, 3, 4])
    parser.add_argument('--epochs', type=int, default=4)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/ensemble_study'))
    parser.add_argument('--out', type=Path, help='Markdown file to write')
    args = parser.parse_args()
    folder = args.work_dir.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    found, chosen = [], []
    for seed in args.seeds:
        rows, choice = one_seed(seed, folder, args.epochs)
        found.append(rows)
        chosen.append(choice)
        print(f'seed {seed}: ' + ', '.join(f'{name} {values[0]:.1f}' for name, values in rows.items()),
              flush=True)
    lines = ['| | AP | AP50 | AP75 | AP over NMS |', '|---|--:|--:|--:|--:|']
    for name in found[0]:
        values = np.array([rows[name] for rows in found])
        gain = values[:, 0] - [rows['NMS'][0] for rows in found]
        lines.append(f'| {name} | ' + ' | '.join(interval(column) for column in (*values.T, gain)) + ' |')
    text = HEADING.format(epochs=args.epochs, seeds=', '.join(map(str, args.seeds)),
                          chosen=', '.join(chosen)) + '\n'.join(lines) + '\n'
    print(text)
    if args.out:
        with replacing(args.out) as temporary:
            temporary.write_text(text, encoding='utf-8')


if __name__ == '__main__':
    main()
