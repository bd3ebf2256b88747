"""Relation-DETR beside plain DINO on the toy scenes, at one schedule, over seeds.

    python tools/benchmarks/detr_study.py --seeds 0 1 2 --out docs/benchmarks/detr_study.md

Every training is a process of its own; one that is done is not repeated, an interrupted one resumes.
"""
from __future__ import annotations

import argparse
from pathlib import Path

from studies import last_validation, run, spread

from mmext.apis.writers import replacing

CONFIGS = {
    "mmdet's DINO": 'dino_emov2_toy',
    'the same with `mmext.PositionRelation`': 'dino-pp-mmdet_emov2_toy',
    'Relation-DETR': 'relation-detr_emov2_toy',
}
HEADING = """# Relation-DETR and DINO on the toy scenes

Made by `python tools/benchmarks/detr_study.py{arguments}`: the toy configs of
[Relation-DETR](../../configs/relation_detr/README.md), {epochs} epochs (their own schedule is 30) of 400
scenes in batches of 8, tested on 100 scenes. Backbone, neck, widths, layers, queries (30), denoising queries
(20) and optimiser are the same. The second row adds the relation alone; the third has also Relation-DETR's
varifocal loss, the fusion of the encoder's layers, the details in which the authors' DINO is not mmdet's and,
in training only, 60 hybrid queries with each box four times, which cost time: iterations are equal, not
seconds. COCO box AP in percent, mean and standard deviation over seeds ({seeds}). A toy: it does not say what
they bring on COCO.

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--epochs', type=int, default=30)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/detr_study'))
    parser.add_argument('--out', type=Path, help='Markdown file to write')
    args = parser.parse_args()
    options = [f'train_cfg.max_epochs={args.epochs}', f'train_cfg.val_interval={args.epochs}',
               f'param_scheduler.1.T_max={args.epochs}', f'param_scheduler.1.end={args.epochs}',
               'default_hooks.checkpoint.interval=2']
    found: dict[str, list[dict[str, float]]] = {title: [] for title in CONFIGS}
    for seed in args.seeds:
        for title, name in CONFIGS.items():
            # Trainings of another length are other trainings.
            work = args.work_dir.absolute() / f'{name}-{args.epochs}-{seed}'
            run(f'configs/relation_detr/{name}.py', seed, work, options)
            row = last_validation(work, 'coco/bbox_mAP')
            found[title].append({key: 100 * row[f'coco/bbox_{key}'] for key in ('mAP', 'mAP_50', 'mAP_75')})
            print(f'seed {seed}, {title}: ' + ', '.join(
                f'{key} {value:.1f}' for key, value in found[title][-1].items()), flush=True)
    lines = ['| | AP | AP50 | AP75 | AP by seed |', '|---|--:|--:|--:|---|']
    for title, rows in found.items():
        columns = {key: [row[key] for row in rows] for key in rows[0]}
        lines.append(f'| {title} | ' + ' | '.join(map(spread, columns.values())) + ' | '
                     + ', '.join(f'{value:.1f}' for value in columns['mAP']) + ' |')
    seeds = ' '.join(map(str, args.seeds))
    text = HEADING.format(arguments=f' --epochs {args.epochs} --seeds {seeds}', epochs=args.epochs,
                          seeds=seeds.replace(' ', ', ')) + '\n'.join(lines) + '\n'
    print(text)
    if args.out:
        with replacing(args.out) as temporary:
            temporary.write_text(text, encoding='utf-8')


if __name__ == '__main__':
    main()
