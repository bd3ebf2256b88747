"""What each distiller brings its toy student: with and without teachers, over seeds.

    python tools/benchmarks/distill_study.py --out docs/benchmarks/distill_study.md
    python tools/benchmarks/distill_study.py --studies g2sd mgd --seeds 0 1

Every training is a process of its own; one that is done is not repeated, an interrupted one resumes. The
page has every study of which trainings of all its rows are in the work directory.
"""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from studies import last_validation, run, spread

from mmext.apis.writers import replacing


@dataclass(frozen=True)
class Step:
    """A training; ``{name}`` in an option is the last checkpoint of a teacher or of the step before."""
    config: str
    options: Sequence[str] = ()


@dataclass(frozen=True)
class Study:
    """One method: its teachers, trained once with seed 0, and rows of trainings of the same student.

    Args:
        title: With a link, from ``docs/benchmarks``.
        setting: Data and schedule.
        figure: End of the name of the figure in the log, and what it is called in the table.
        teachers: Name to training.
        rows: Title to the trainings in order; the last one's figure counts. The first row has no teacher.
    """
    title: str
    setting: str
    figure: tuple[str, str]
    rows: dict[str, list[Step]]
    teachers: dict[str, Step] = field(default_factory=dict)


TOP1, MIOU, AP = ('accuracy/top1', 'top-1'), ('mIoU', 'mIoU'), ('bbox_mAP', 'box AP')
MAE = {'mae': Step('dmt/teacher-mae_vit_toy')}
START = 'model.backbone.init_cfg.checkpoint={before}'
FROM_SCRATCH = ['model.backbone.init_cfg=None']
STUDIES = {
    'kd': Study(
        '`mmext.KLDistillLoss`, `mmext.GuidanceLoss` ([distill](../../configs/distill/README.md))',
        'EMOv2, 15 epochs of 400 pictures', TOP1,
        {'alone': [Step('emov2/emov2_toy')],
         'taught by a ResNet-18': [
             Step('distill/kd_emov2-resnet18_toy', ['model.teachers.big.checkpoint={teacher}'])],
         'guided by an untrained ResNet-18': [Step('distill/guidance_emov2-resnet18_toy')]},
        {'teacher': Step('distill/teacher_resnet18_toy')}),
    'pkd': Study(
        '`mmext.PKDLoss` ([distill](../../configs/distill/README.md))',
        'ATSS, EMOv2, 16 epochs of 400 scenes', AP,
        {'alone': [Step('emov2/atss_emov2_fpn_toy')],
         'taught by ATSS with a ResNet-18': [
             Step('distill/pkd_atss_emov2-resnet18_toy', ['model.teachers.big.checkpoint={teacher}'])]},
        {'teacher': Step('distill/teacher_atss_resnet18_toy')}),
    'pkd-rotated': Study(
        '`mmext.PKDLoss`, rotated ([distill](../../configs/distill/README.md))',
        'Rotated RetinaNet, EMOv2, 20 epochs', ('dota/AP50', 'AP50'),
        {'alone': [Step('emov2/rotated-retinanet-rbox-le90_emov2_fpn_toy')],
         'taught by one with a ResNet-18': [
             Step('distill/pkd_rotated-retinanet_emov2-resnet18_toy',
                  ['model.teachers.big.checkpoint={teacher}'])]},
        {'teacher': Step('distill/teacher_rotated-retinanet_resnet18_toy')}),
    'cwd': Study(
        '`mmext.ChannelWiseDistillLoss` ([distill](../../configs/distill/README.md))',
        'FPN, EMOv2, 400 iterations', MIOU,
        {'alone': [Step('emov2/fpn_emov2_toy')],
         'taught by one with a ResNet-18': [
             Step('distill/cwd_fpn_emov2-resnet18_toy', ['model.teachers.big.checkpoint={teacher}'])]},
        {'teacher': Step('distill/teacher_fpn_resnet18_toy')}),
    'guidance': Study(
        '[Guidance](../../configs/guidance/README.md)',
        '24 fully connected layers, 20 epochs of 400 pictures of 32 pixels', TOP1,
        {'alone': [Step('guidance/deep-fcn_toy')],
         'guided by an untrained CIFAR ResNet': [Step('guidance/guidance_deep-fcn_toy')]}),
    'dmt': Study(
        '[DMT](../../configs/dmt/README.md)',
        'a ViT of three layers, 20 epochs with labels, after 20 without where there are teachers', TOP1,
        {'from scratch': [Step('dmt/vit_dmt_toy', FROM_SCRATCH)],
         'after DMT with MAE, MoCo v3 and MaskFeat': [
             Step('dmt/dmt_vit_toy', ['model.teachers.mae.checkpoint={mae}',
                                      'model.teachers.mocov3.checkpoint={mocov3}',
                                      'model.teachers.maskfeat.checkpoint={maskfeat}']),
             Step('dmt/vit_dmt_toy', [START])]},
        {**MAE, 'mocov3': Step('dmt/teacher-mocov3_vit_toy'),
         'maskfeat': Step('dmt/teacher-maskfeat_vit_toy')}),
    'h_gkd': Study(
        '[H-GKD](../../configs/h_gkd/README.md)',
        'a narrow ResNet-18, 10 epochs with labels, after 20 without where there is a teacher', TOP1,
        {'from scratch': [Step('h_gkd/resnet18_h_gkd_toy', FROM_SCRATCH)],
         'after H-GKD with MAE': [
             Step('h_gkd/h_gkd_resnet18_toy', ['model.teacher.checkpoint={mae}']),
             Step('h_gkd/resnet18_h_gkd_toy', [START])]},
        MAE),
    'g2sd': Study(
        '[G2SD](../../configs/g2sd/README.md), classification',
        'a small ViT, 20 epochs with labels, after 20 without in stage 1', TOP1,
        {'alone': [Step('g2sd/small_vit_toy')],
         'stage 2 only': [
             Step('g2sd/vit_g2sd_toy', ['model.teachers.base.checkpoint={teacher}',
                                        'model.student.backbone.init_cfg=None'])],
         'both stages': [
             Step('g2sd/g2sd_vit_toy', ['model.teacher.checkpoint={mae}']),
             Step('g2sd/vit_g2sd_toy', ['model.teachers.base.checkpoint={teacher}',
                                        'model.student.backbone.init_cfg.checkpoint={before}'])]},
        {'teacher': Step('g2sd/teacher_vit_toy'), **MAE}),
    'g2sd-seg': Study(
        '[G2SD](../../configs/g2sd/README.md), stage 2, segmentation',
        'UPerNet, a small ViT, 200 iterations', MIOU,
        {'alone': [Step('g2sd/small_upernet_vit_toy')],
         'with G2SD': [Step('g2sd/g2sd_upernet_vit_toy', ['model.teachers.base.checkpoint={teacher}'])]},
        {'teacher': Step('g2sd/teacher_upernet_vit_toy')}),
    'g2sd-det': Study(
        '[G2SD](../../configs/g2sd/README.md), stage 2, detection',
        'Faster R-CNN, a small ViT, 8 epochs of 400 scenes', AP,
        {'alone': [Step('g2sd/small_faster-rcnn_vit_toy')],
         'with G2SD': [Step('g2sd/g2sd_faster-rcnn_vit_toy', ['model.teachers.base.checkpoint={teacher}'])]},
        {'teacher': Step('g2sd/teacher_faster-rcnn_vit_toy')}),
    'mgd': Study(
        '[MGD](../../configs/mgd/README.md)', 'ResNet-18, 50 scenes with labels, 400 iterations', MIOU,
        {'labelled scenes alone': [Step('mgd/supervised_r18_toy')],
         'with MGD and 400 scenes without labels': [
             Step('mgd/mgd_r18_toy', ['model.teachers.wide.checkpoint={wide}',
                                      'model.teachers.deep.checkpoint={deep}'])]},
        {'wide': Step('mgd/teacher-wide_toy'), 'deep': Step('mgd/teacher-deep_toy')}),
    'kd_ci_cam': Study(
        '[KD-CI-CAM](../../configs/kd_ci_cam/README.md)', 'CI-CAM, 10 epochs of 400 pictures',
        ('localization/max_box_acc_v2', 'MaxBoxAccV2'),
        {'alone': [Step('kd_ci_cam/ci-cam_toy')],
         'taught by two': [
             Step('kd_ci_cam/kd-ci-cam_toy', ['model.teachers.cls.checkpoint={cls}',
                                              'model.teachers.loc.checkpoint={loc}'])]},
        {'cls': Step('kd_ci_cam/cls-teacher_toy'), 'loc': Step('kd_ci_cam/loc-teacher_toy')}),
}
HEADING = """# Toy students with and without teachers

Made by `python tools/benchmarks/distill_study.py`: the toy config of each distiller beside the same student
without a teacher, by the same labelled schedule. Percent, mean and standard deviation over seeds, and the
same of the difference from the first row; 100 pictures to test, so that one picture is a point of top-1.
Teachers are trained once, with seed 0. A toy: it shows whether this student gains here, not what a method
brings on ImageNet or COCO.

| method | student | | figure | mean | by seed | difference |
|---|---|---|---|--:|---|--:|
"""


def figure(work: Path, key: str) -> float:
    """Of the last validation in ``work``, in percent; the student's where teachers are evaluated too."""
    row = last_validation(work, key)
    name = min((name for name in row if name.endswith(key)), key=lambda name: not name.startswith('student/'))
    return 100 * row[name] if key.split('/')[-1] in ('bbox_mAP', 'AP50') else row[name]


def work_of(folder: Path, name: str, row: int, step: Step, seed: int) -> Path:
    """Where a training of a study's row is."""
    return folder / name / f'{row}-{Path(step.config).stem}' / str(seed)


def teacher_of(folder: Path, step: Step) -> Path:
    """Studies share teachers."""
    return folder / 'teachers' / Path(step.config).stem


def train(name: str, seeds: Sequence[int], folder: Path) -> None:
    """Run what is missing of a study."""
    study = STUDIES[name]
    weights = {}
    for teacher, step in study.teachers.items():
        work = run(f'configs/{step.config}.py', 0, teacher_of(folder, step))
        weights[teacher] = (work / 'last_checkpoint').read_text().strip()
    for seed in seeds:
        for row, (title, steps) in enumerate(study.rows.items()):
            before = ''
            for step in steps:
                work = run(f'configs/{step.config}.py', seed, work_of(folder, name, row, step, seed),
                           [option.format(before=before, **weights) for option in step.options])
                before = (work / 'last_checkpoint').read_text().strip()
            print(f'{name}, seed {seed}, {title}: {study.figure[1]} {figure(work, study.figure[0]):.1f}',
                  flush=True)


def lines_of(name: str, folder: Path) -> list[str]:
    """Lines of the table over the seeds that all rows of a study have; none if there is none."""
    study = STUDIES[name]
    key, called = study.figure
    seeds: set[int] | None = None
    for row, steps in enumerate(study.rows.values()):
        runs = work_of(folder, name, row, steps[-1], 0).parent
        done = {int(file.parent.name) for file in runs.glob('*/done')}
        seeds = done if seeds is None else seeds & done
    if not seeds:
        return []
    lines: list[str] = []
    first: list[float] = []
    for row, (title, steps) in enumerate(study.rows.items()):
        values = [figure(work_of(folder, name, row, steps[-1], seed), key) for seed in sorted(seeds)]
        start = f'| {study.title} | {study.setting} |' if not first else '| | |'
        difference = spread([value - other for value, other in zip(values, first)]) if first else ''
        lines.append(f'{start} {title} | {called} | {spread(values)} | '
                     + ', '.join(f'{value:.1f}' for value in values) + f' | {difference} |')
        first = first or values
    tested: dict[str, float] = {}
    for teacher, step in study.teachers.items():
        with suppress(IndexError):  # learnt without labels: no such figure
            tested[teacher] = figure(teacher_of(folder, step), key)
    for teacher, value in tested.items():
        title = 'the teacher' if len(tested) == 1 else f'the teacher `{teacher}`'
        lines.append(f'| | | *{title}* | {called} | {value:.1f} | | |')
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--studies', nargs='+', choices=list(STUDIES), default=list(STUDIES))
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/distill_study'))
    parser.add_argument('--out', type=Path, help='Markdown file to write')
    args = parser.parse_args()
    folder = args.work_dir.absolute()
    for name in args.studies:
        train(name, args.seeds, folder)
    lines = {name: lines_of(name, folder) for name in STUDIES}
    text = HEADING + ''.join(f'{line}\n' for found in lines.values() for line in found)
    left = [f'{STUDIES[name].title} ({STUDIES[name].setting})' for name, found in lines.items() if not found]
    if left:
        text += f'\nNot compared yet: {"; ".join(left)}.\n'
    print(text)
    if args.out:
        with replacing(args.out) as temporary:
            temporary.write_text(text, encoding='utf-8')


if __name__ == '__main__':
    main()
