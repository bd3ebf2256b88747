"""CST's parts side by side on the toy scenes: what the cycle and the weights bring, over seeds.

    python tools/benchmarks/semi_study.py --seeds 0 1 2 --out docs/benchmarks/semi_study.md

Every training is a process of its own; one that is done is not repeated, an interrupted one resumes.
"""
from __future__ import annotations

import argparse
from pathlib import Path

from studies import last_validation, run, spread

from mmext.apis.writers import replacing

VARIANTS = {
    'labelled images only': ('supervised', ''),
    'one student and its teacher': ('mean-teacher', 'teacher/'),
    'two pairs, each taught by its own teacher': ('two-pairs', 'teacher1/'),
    'the cycle, pseudo-labels unweighted': ('cst-unweighted', 'teacher1/'),
    'the cycle, weighted by consistency (CST)': ('cst', 'teacher1/'),
}
HEADING = """# CST and its baselines on the toy scenes

Made by `python tools/benchmarks/semi_study.py`: the toy configs of [CST](../../configs/cst/README.md), 40
labelled and 360 unlabelled scenes, 600 iterations of 5 + 5 images, tested on 100 scenes. Box AP of the
(first) teacher, of the detector itself without one; mean and standard deviation over seeds. A toy: it
shows that the parts work together, not what they bring on COCO.

"""


def figures(work: Path, prefix: str) -> tuple[float, float]:
    """AP and AP50 in percent, of the last validation."""
    last = last_validation(work, 'coco/bbox_mAP')
    found = {key: last.get(f'{prefix}coco/{key}', last.get(f'coco/{key}')) for key in
             ('bbox_mAP', 'bbox_mAP_50')}
    return 100 * found['bbox_mAP'], 100 * found['bbox_mAP_50']


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/semi_study'))
    parser.add_argument('--out', type=Path, help='Markdown file to write')
    parser.add_argument('--cfg-options', nargs='+', default=[], help='for every training')
    args = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {title: [] for title in VARIANTS}
    for seed in args.seeds:
        for title, (name, prefix) in VARIANTS.items():
            work = run(f'configs/cst/{name}_atss_emov2_toy.py', seed,
                       args.work_dir.absolute() / f'{name}-{seed}', args.cfg_options)
            found[title].append(figures(work, prefix))
            ap, ap50 = found[title][-1]
            print(f'seed {seed}, {title}: AP {ap:.1f}, AP50 {ap50:.1f}', flush=True)
    lines = ['| | AP | AP50 | AP50 by seed |', '|---|--:|--:|---|']
    for title, values in found.items():
        aps, ap50s = zip(*values)
        lines.append(f'| {title} | {spread(list(aps))} | {spread(list(ap50s))} | '
                     + ', '.join(f'{value:.1f}' for value in ap50s) + ' |')
    text = HEADING + f'Seeds: {", ".join(map(str, args.seeds))}.\n\n' + '\n'.join(lines) + '\n'
    print(text)
    if args.out:
        with replacing(args.out) as temporary:
            temporary.write_text(text, encoding='utf-8')


if __name__ == '__main__':
    main()
