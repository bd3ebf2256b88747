"""``mmext publish``: the weights of a training, small and safe."""
from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from mmext.cli.publish import main
from mmext.engine.checkpoint import load_file, load_state


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    weights = {'w': torch.arange(6.).view(2, 3), 'n': torch.tensor(3)}
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(meta=dict(epoch=1, iter=7), state_dict=weights,
                    optimizer=dict(state={0: dict(exp_avg=torch.zeros(1000))})), path)
    return path


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_weights_only_and_named_by_digest(trained, suffix, capsys):
    assert main([str(trained), str(trained.with_name(f'out{suffix}'))]) == 0
    published, = trained.parent.glob(f'out-*{suffix}')
    assert published.stem == f'out-{hashlib.sha256(published.read_bytes()).hexdigest()[:8]}'
    state = load_state(published)
    assert torch.equal(state['w'], torch.arange(6.).view(2, 3)) and state['n'] == 3 and len(state) == 2
    assert published.stat().st_size < trained.stat().st_size
    assert 'wrote' in capsys.readouterr().out


def test_half(trained):
    assert main([str(trained), str(trained.with_name('out.safetensors')), '--half']) == 0
    state = load_state(next(trained.parent.glob('out-*')))
    assert state['w'].dtype == torch.float16 and state['n'].dtype == torch.int64


def test_averaged_and_last_weights(trained):
    content = load_file(trained)
    content['ema_state_dict'] = {'module.w': torch.ones(2, 3), 'module.n': torch.tensor(4),
                                 'steps': torch.tensor(9)}
    torch.save(content, trained)
    for options, expected in (([], 1.), (['--ema'], 0.)):
        assert main([str(trained), str(trained.with_name(f'ema{len(options)}.pth')), *options]) == 0
        state = load_state(next(trained.parent.glob(f'ema{len(options)}-*')))
        assert state.keys() == {'w', 'n'} and state['w'][0, 0] == expected


def test_refusals(trained, capsys):
    assert main([str(trained), str(trained.with_name('out.bin'))]) == 2
    assert 'write to a .pth or .safetensors file' in capsys.readouterr().err
    assert main([str(trained), str(trained.with_name('out.pth')), '--ema']) == 2
    assert 'trained without an EMAHook' in capsys.readouterr().err


def test_the_student_of_a_distillation(tmp_path, capsys) -> None:
    state = {'student.fc.weight': torch.ones(2), 'connectors.p.weight': torch.zeros(3)}
    torch.save(dict(state_dict=state), tmp_path / 'epoch_1.pth')
    assert main(['--student', str(tmp_path / 'epoch_1.pth'), str(tmp_path / 'student.pth')]) == 0
    published, = tmp_path.glob('student-*.pth')
    assert list(load_state(published)) == ['fc.weight']
    torch.save(dict(state_dict={'fc.weight': torch.ones(2)}), tmp_path / 'plain.pth')
    assert main(['--student', str(tmp_path / 'plain.pth'), str(tmp_path / 'none.pth')]) == 2
    assert 'has no student' in capsys.readouterr().err


def test_one_part_of_the_student(tmp_path, capsys) -> None:
    state = {'student.backbone.w': torch.ones(2), 'student.head.w': torch.zeros(3)}
    torch.save(dict(state_dict=state), tmp_path / 'epoch_1.pth')
    arguments = [str(tmp_path / 'epoch_1.pth'), str(tmp_path / 'out.pth'), '--student']
    assert main([*arguments, '--part', 'backbone']) == 0
    assert load_state(next(tmp_path.glob('out-*'))).keys() == {'w'}
    assert main([*arguments, '--part', 'backbon']) == 2
    assert "no part 'backbon'; did you mean backbone" in capsys.readouterr().err
