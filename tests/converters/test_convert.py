"""Converters: strictness, the report, and the command that users call."""
from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmext.cli.convert import main
from mmext.converters import ConversionReport, convert, methods
from mmext.engine.checkpoint import load_state
from mmext.errors import UserError
from mmext.registry import MODELS


@pytest.fixture(scope='module')
def official() -> dict[str, torch.Tensor]:
    """An official EMO2_1M file: our backbone with a classifier has the official names."""
    torch.manual_seed(0)
    return MODELS.build(dict(type='mmext.EMOv2', arch='1M', num_classes=1000)).state_dict()


def test_every_key_is_accounted_for(official: dict[str, torch.Tensor]) -> None:
    report = ConversionReport()
    _, state = convert('emov2', {}, official, 'EMO2_1M_k5_hybrid', 'backbone', report)
    assert {old for old, _ in report.renamed} | {old for old, _ in report.dropped} == set(official)
    assert {old for old, _ in report.dropped} == {
        key for key in official if key.startswith(('norm.', 'head.'))}
    assert len(state) == len(report.renamed)


@pytest.mark.parametrize(('call', 'message'), [
    (dict(method='emo'), r"no converter for 'emo'; did you mean emov2"),
    (dict(official_args=dict(depth=[1])), r"EMO2 has no argument 'depth'; did you mean depths"),
    (dict(official_state={'layer5.weight': torch.zeros(1)}), r'1 of 1 keys are not of EMO2: layer5'),
    (dict(constructor='EMO2_5M'), r"no constructor 'EMO2_5M'; did you mean .*EMO"),
    (dict(target='detector'), r"no target 'detector'.*classifier, backbone"),
    (dict(official_args=dict(act_layers=['silus'] * 4)), r"activation 'silus'; did you mean silu"),
])
def test_what_is_not_of_the_method_is_named(call: dict, message: str) -> None:
    defaults = dict(method='emov2', official_args={}, official_state={})
    with pytest.raises(UserError, match=message):
        convert(**{**defaults, **call})


def test_every_module_has_a_converter() -> None:
    assert 'emov2' in methods()


def test_command_finds_the_variant(official: dict, tmp_path: Path, capsys) -> None:
    source, out = tmp_path / 'official.pth', tmp_path / 'new' / 'out.safetensors'
    torch.save({'state_dict': {f'module.{key}': value for key, value in official.items()}}, source)
    assert main(['emov2', str(source), str(out)]) == 0
    printed = capsys.readouterr().out
    assert 'EMO2_1M_k5_hybrid' in printed and "type='mmpretrain.ImageClassifier'" in printed
    state = load_state(out)
    assert torch.equal(state['head.fc.weight'], official['head.weight'])
    assert main(['emov2', str(source), str(out)]) == 2
    assert '--force' in capsys.readouterr().err


def test_command_names_the_misfit(official: dict, tmp_path: Path, capsys) -> None:
    source = tmp_path / 'official.pth'
    torch.save(official, source)
    argv = ['emov2', str(source), str(tmp_path / 'out.pth')]
    assert main([*argv, '--constructor', 'EMO2_5M_k5_hybrid']) == 2
    assert 'stage0.0.conv.weight is (16, 3, 3, 3), expected (24, 3, 3, 3)' in capsys.readouterr().err
    assert not (tmp_path / 'out.pth').exists()


def test_command_refuses_code(tmp_path: Path, capsys) -> None:
    class Payload:
        def __reduce__(self):
            return (Path(tmp_path / 'ran').touch, ())

    source = tmp_path / 'hostile.pth'
    torch.save({'state_dict': Payload()}, source)
    assert main(['emov2', str(source), str(tmp_path / 'out.pth')]) == 2
    assert 'would run code' in capsys.readouterr().err
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('content', [b'hello', b'404: Not Found', b'<html>', b'\x80\x02cos\n', b'PK\x03\x04'])
@pytest.mark.parametrize('name', ['file.pth', 'file.safetensors'])
def test_a_file_that_is_no_checkpoint(content: bytes, name: str, tmp_path: Path, capsys) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert main(['emov2', str(path), str(tmp_path / 'out.pth')]) == 2
    error = capsys.readouterr().err
    assert name in error and ('not a readable checkpoint' in error or 'refused' in error), error


def test_weights_that_do_not_tell_their_model(tmp_path: Path, capsys) -> None:
    torch.save({'bbox_head.weight': torch.zeros(1)}, tmp_path / 'file.pth')
    assert main(['rotated_detr', str(tmp_path / 'file.pth'), str(tmp_path / 'out.pth')]) == 2
    assert 'Say what it is with --constructor' in capsys.readouterr().err
    assert main(['rotated_detr', str(tmp_path / 'file.pth'), str(tmp_path / 'out.pth'), '--constructor',
                 'RotatedDINO']) == 2
    assert '--args model.json' in capsys.readouterr().err
