"""A config that names a plug-in, trained by a host's own installed script."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import mmdet

from mmext import hosts

ROOT = Path(__file__).parents[2]


def test_mmdet_trains_a_plug_in(toy_data: Path, tmp_path: Path) -> None:
    script = Path(mmdet.__file__).parent / '.mim' / 'tools' / 'train.py'
    config = ROOT / 'configs' / 'emov2' / 'atss_emov2_fpn_toy.py'
    assert 'custom_imports' not in config.read_text()
    environment = dict(os.environ, MMEXT_TOY_DATA=str(toy_data))
    if hosts.torchvision_extension_is_broken():
        # What `mmext doctor --fix` does for the whole environment, here for one process.
        (tmp_path / 'sitecustomize.py').write_text('import mmext\n')
        environment['PYTHONPATH'] = str(tmp_path)
    options = ['train_cfg.max_epochs=1', 'train_cfg.val_interval=1', 'train_dataloader.batch_size=5',
               'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False',
               'val_dataloader.num_workers=0', 'val_dataloader.persistent_workers=False',
               'default_hooks.checkpoint.interval=1']
    done = subprocess.run(
        [sys.executable, script, config, '--work-dir', tmp_path / 'run', '--cfg-options', *options],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / 'run' / 'epoch_1.pth').is_file()
    assert 'Epoch(val) [1]' in done.stdout + done.stderr
