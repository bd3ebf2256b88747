"""The repairs: each does what it says, and only importing mmext changes no behaviour."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmext import hosts
from mmext.errors import UserError, did_you_mean, nearest

HOSTS = ('mmdet', 'mmseg', 'mmpretrain', 'mmrotate')
BASES = {
    'mmdet': 'mmdet::_base_/models/retinanet_r50_fpn.py',
    'mmseg': 'mmseg::_base_/models/fpn_r50.py',
    'mmpretrain': 'mmpretrain::_base_/models/resnet18.py',
    'mmrotate': 'mmrotate::_base_/schedules/schedule_1x.py',
    'mmext': 'mmext::emov2/emov2-1m_8xb128_in1k.py',
}


def run_python(code: str, **environment: str) -> str:
    """Run code in a fresh interpreter that has no start-up file of ours."""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          env={**os.environ, **environment}, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize('scope', BASES)
def test_configs_inherit_from_every_package(scope: str, tmp_path: Path) -> None:
    from mmengine.config import Config
    config = tmp_path / 'config.py'
    config.write_text(f"_base_ = '{BASES[scope]}'\n")
    assert len(Config.fromfile(config)) > 0


def test_an_inherited_config_of_ours_builds_in_its_hosts_scope(tmp_path: Path) -> None:
    from mmengine.config import Config
    from mmengine.registry import MODELS, DefaultScope
    config = tmp_path / 'config.py'
    config.write_text("_base_ = 'mmext::emov2/atss_emov2_fpn_toy.py'\n")
    cfg = Config.fromfile(config)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        assert type(MODELS.build(cfg.model)).__module__.startswith('mmdet.')


def test_the_hub_does_not_install_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmengine import hub
    monkeypatch.setattr(subprocess, 'check_call', lambda command: pytest.fail(f'ran {command}'))
    assert hub.get_config(BASES['mmseg']).model.type == 'EncoderDecoder'


def test_torchvision_imports_and_its_nms_runs() -> None:
    from torchvision import transforms
    from torchvision.ops import nms
    assert transforms.CenterCrop(2)(torch.zeros(3, 4, 4)).shape == (3, 2, 2)
    boxes = torch.tensor([[0., 0., 10., 10.], [1., 1., 11., 11.], [20., 20., 30., 30.]])
    assert nms(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.5).tolist() == [1, 2]


def test_import_is_light_and_changes_no_behaviour() -> None:
    out = run_python(
        'import sys, mmext; print("torch" in sys.modules, "mmengine" in sys.modules)\n'
        'import mmengine.runner.checkpoint as c; print(c._safe_torch_load.__module__)')
    assert out.split() == ['False', 'False', 'mmengine.runner.checkpoint']


def test_arming_twice_changes_nothing() -> None:
    before = list(sys.meta_path)
    hosts.arm()
    assert sys.meta_path == before


def test_start_up_file_arms_a_process(tmp_path: Path) -> None:
    file = hosts.arm_every_process(tmp_path)
    code = (f'import site; site.addsitedir({str(tmp_path)!r})\n'
            'import sys; print("mmext" in sys.modules)')
    assert run_python(code).strip() == 'True'
    assert file.name == hosts.START_UP_FILE


class Payload:
    """Pickles to a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (type(self.path).touch, (self.path, ))


def test_checkpoints_do_not_run_code(tmp_path: Path) -> None:
    from mmengine.runner.checkpoint import CheckpointLoader
    ran, file = tmp_path / 'ran', tmp_path / 'hostile.pth'
    torch.save({'state_dict': {}, 'meta': Payload(ran)}, file)
    hosts.repair()
    with pytest.raises(UserError, match=r'hostile.pth: refused.*--trust-checkpoint'):
        CheckpointLoader.load_checkpoint(str(file))
    assert not ran.exists()
    try:
        hosts.repair(trust_checkpoint=True)
        CheckpointLoader.load_checkpoint(str(file))
        assert ran.exists()
    finally:
        hosts.repair()


def test_getattr_is_not_a_way_out(tmp_path: Path) -> None:
    """mmengine's log histories need getattr; only their own methods may be reached by it."""
    from mmengine.logging.history_buffer import HistoryBuffer

    from mmext.engine.checkpoint import load_file

    class Reach:
        def __reduce__(self):
            return (getattr, (HistoryBuffer, '__init__'))

    torch.save({'history': HistoryBuffer([1.], [1])}, tmp_path / 'good.pth')
    assert load_file(tmp_path / 'good.pth')['history'].mean() == 1
    torch.save({'history': Reach()}, tmp_path / 'bad.pth')
    with pytest.raises(UserError, match='bad.pth: refused'):
        load_file(tmp_path / 'bad.pth')


@pytest.mark.parametrize('content', [b'', b'not a checkpoint', b'PK\x03\x04 truncated'])
def test_broken_checkpoints_are_named(content: bytes, tmp_path: Path) -> None:
    from mmext.engine.checkpoint import load_file
    file = tmp_path / 'broken.pth'
    file.write_bytes(content)
    with pytest.raises(UserError, match='broken.pth: not a readable checkpoint'):
        load_file(file)
    with pytest.raises(UserError, match=r'brokem.pth; did you mean broken.pth'):
        load_file(tmp_path / 'brokem.pth')


def test_files_are_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmengine.fileio import get_file_backend
    hosts.repair()
    target = tmp_path / 'epoch_1.pth'
    backend = get_file_backend(str(target))
    backend.put(b'first', str(target))
    monkeypatch.setattr(os, 'replace', lambda *_: (_ for _ in ()).throw(OSError('disk full')))
    with pytest.raises(OSError, match='disk full'):
        backend.put(b'second', str(target))
    assert target.read_bytes() == b'first'
    assert [path.name for path in tmp_path.iterdir()] == ['epoch_1.pth']


def test_nearest_names() -> None:
    assert nearest('emov', ['EMOv2', 'BiFormer']) == ['EMOv2']
    assert did_you_mean('zzz', ['EMOv2']) == ''
