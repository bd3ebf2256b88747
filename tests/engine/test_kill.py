"""``kill -9`` at any moment of a training, in the middle of a checkpoint's writing too."""
from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch

from mmext.engine.checkpoint import load_file
from mmext.engine.checkpoint.newest import newest_checkpoint

from ..cli.test_resume import same_training

ROOT = Path(__file__).parents[2]
OPTIONS = ['--seed', '3', '--no-validate', '--no-check', '--cfg-options', 'log_level=ERROR',
           'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False',
           'default_hooks.checkpoint.interval=1', 'default_hooks.checkpoint.max_keep_ckpts=2']
# Two students and two teachers that label for each other from the second iteration on.
CST = ['train_dataloader.dataset.datasets.0.indices=[0,1,2,3]',
       'train_dataloader.dataset.datasets.1.indices=[4,5,6,7]', 'train_dataloader.batch_size=2',
       'train_dataloader.sampler.batch_size=2', 'model.semi_train_cfg.burn_in_iters=1',
       *(f'model.semi_train_cfg.{name}_thr=0.001' for name in ('pseudo_label_initial_score', 'cls_pseudo'))]
RUNS = {'segmentation': ['model.pretrained=None', 'train_dataloader.batch_size=1'],
        'cst/cst_atss_emov2_toy.py': CST,
        'cst/cst_relation-detr_emov2_toy.py': [*CST, 'model.detector.decoder.num_layers=1',
                                               'model.detector.hybrid_cfg=None']}
PRELOAD = ['mmext.cli.train', *(f'mm{host}.{part}' for host in ('seg', 'det') for part in (
    'models', 'datasets', 'engine', 'evaluation', 'visualization'))]


def _train(config: str, work_dir: str, options: list[str], environment: dict[str, str]) -> None:
    """A new process of ``mmext train --resume``; it is forked from one that has imported the hosts."""
    from yapf.yapflib import yapf_api

    from mmext.cli.train import main
    yapf_api.FormatCode = lambda text, **_: (text, False)  # seconds for a config that nobody reads
    torch.set_num_threads(1)
    os.environ.update(environment)  # the forking process has that of the first test
    os._exit(main([config, '--work-dir', work_dir, '--resume', *OPTIONS, *options]))


def _kill(process: multiprocessing.Process, work_dir: Path, moment: float, writing: bool) -> bool:
    """Kill after some seconds of training, or as soon as a checkpoint is being written after them."""
    before = newest_checkpoint(work_dir)[0]
    while process.is_alive() and newest_checkpoint(work_dir)[0] == before:
        time.sleep(0.01)  # starting up
    end = time.monotonic() + moment
    while process.is_alive() and time.monotonic() < end:
        time.sleep(0.01)
    while process.is_alive() and writing and not list(work_dir.glob('.iter_*.unfinished')):
        time.sleep(0.0005)
    if not process.is_alive():
        return False
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return True


@pytest.mark.parametrize(('name', 'kills'), [
    ('segmentation', 2), ('cst/cst_relation-detr_emov2_toy.py', 1),
    pytest.param('segmentation', 20, marks=pytest.mark.slow),
    pytest.param('cst/cst_atss_emov2_toy.py', 4, marks=pytest.mark.slow),
    pytest.param('cst/cst_relation-detr_emov2_toy.py', 4, marks=pytest.mark.slow)])
def test_killed_at_random_moments(configs, tmp_path, name, kills):
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(PRELOAD)
    config = str(configs[name] if name in configs else ROOT / 'configs' / name)
    dice, iterations = random.Random(kills), (3 * kills + 2 if 'cst' in name else 6 * kills + 8)
    options = [*RUNS[name], f'train_cfg.max_iters={iterations}']
    environment = {key: os.environ[key] for key in ('MMEXT_TOY_DATA', 'XDG_CACHE_HOME')}

    def start(folder: str) -> multiprocessing.Process:
        process = context.Process(target=_train, args=(config, folder, options, environment))
        process.start()
        return process

    undisturbed = start('whole')
    undisturbed.join()
    assert undisturbed.exitcode == 0
    work_dir = tmp_path / 'killed'
    work_dir.mkdir()
    struck = left_over = 0
    while struck < kills:
        process = start('killed')
        if not _kill(process, work_dir, dice.uniform(0, 0.4), writing=struck % 2 == 0):
            break
        struck += 1
        left_over += bool(list(work_dir.glob('.*.unfinished')))
        found, _ = newest_checkpoint(work_dir)
        assert found is not None, 'a kill left no whole checkpoint'
        load_file(found, 'cpu')
    assert struck == kills, f'the training was over after {struck} kills: give it more iterations'
    assert left_over, 'no kill fell into the writing of a file'
    process = start('killed')
    process.join()
    assert process.exitcode == 0
    last = work_dir / f'iter_{iterations}.pth'
    same_training(Path('whole', last.name), last)
    if 'cst' in name:
        _four_networks(load_file(last, 'cpu')['state_dict'])
    assert not list(work_dir.glob('.*.unfinished')), 'files of killed processes are left behind'


def _four_networks(state: dict) -> None:
    """What was compared holds students and teachers, and all four are different by now."""
    members = [{key.partition('.')[2]: value for key, value in state.items() if key.startswith(prefix)}
               for prefix in ('student1.', 'student2.', 'teacher1.', 'teacher2.')]
    assert members[0].keys() == members[1].keys() == members[2].keys() == members[3].keys()
    for one, other in itertools.combinations(members, 2):
        assert one and any(not torch.equal(value, other[key]) for key, value in one.items())
