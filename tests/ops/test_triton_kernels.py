"""Triton kernels: equal to the plain paths under Triton's interpreter, compiled for NVIDIA devices."""
from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import mmext  # noqa: F401
from mmext.errors import UserError
from mmext.models.layers.position_relation import PositionRelation
from mmext.ops import kernels
from mmext.ops.position_relation import position_relation

ROOT = Path(__file__).parents[2]
needs_triton = pytest.mark.skipif(importlib.util.find_spec('triton') is None,
                                  reason="Triton is not installed: pip install 'mmext[triton]'")


def _run(*command: str, **variables: str) -> str:
    # A process of its own: Triton reads its variables when the kernels are imported.
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'TRITON_DEFAULT_FP_FUSION': '1', **variables}
    ended = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True,
                           text=True)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
    return ended.stdout


@needs_triton
@pytest.mark.parametrize('operation', ['position_relation', 'bra'])
def test_equal_to_the_plain_path_under_the_interpreter(operation: str) -> None:
    _run('-m', 'pytest', '-q', '-p', 'no:randomly', f'tests/ops/interpreted/{operation}.py',
         TRITON_INTERPRET='1')


@needs_triton
@pytest.mark.parametrize('case', ['relation 8 heads', 'routed attention stage 2, bfloat16'])
def test_compiles_without_spills(case: str, tmp_path: Path) -> None:
    table = _run('tools/benchmarks/triton_kernels.py', '--targets', '90', '--cases', case,
                 TRITON_CACHE_DIR=str(tmp_path), TRITON_INTERPRET='0')
    assert 'sm_90' in table


def _inputs() -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    return torch.rand(1, 7, 4), torch.rand(1, 5, 4), torch.randn(4, 64), torch.randn(4)


def test_off_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device('cuda')
    monkeypatch.setattr(kernels, 'triton_importable', lambda: True)
    monkeypatch.delenv('MMEXT_TRITON', raising=False)
    assert not kernels.kernel_wanted(None, gpu) and kernels.kernel_wanted(True, gpu)
    monkeypatch.setenv('MMEXT_TRITON', '1')
    assert kernels.kernel_wanted(None, gpu) and not kernels.kernel_wanted(False, gpu)
    monkeypatch.delenv('TRITON_INTERPRET', raising=False)
    assert not kernels.kernel_wanted(None, torch.device('cpu'))


def test_a_wrong_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('MMEXT_TRITON', 'yes')
    with pytest.raises(UserError, match='MMEXT_TRITON=yes: expected 1 .* or 0'):
        position_relation(*_inputs())


def test_without_triton_the_plain_path_runs_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = position_relation(*_inputs())
    monkeypatch.setenv('TRITON_INTERPRET', '1')  # on a CPU only the interpreter would take the kernel
    monkeypatch.setitem(sys.modules, 'triton', None)
    kernels.triton_importable.cache_clear()
    try:
        with pytest.warns(UserWarning, match='Triton cannot be imported'):
            assert torch.equal(position_relation(*_inputs(), triton=True), expected)
    finally:
        kernels.triton_importable.cache_clear()


def test_traced_and_exported_paths_use_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('MMEXT_TRITON', '1')
    monkeypatch.setenv('TRITON_INTERPRET', '1')
    monkeypatch.setattr(kernels, 'triton_importable', lambda: pytest.fail('a kernel was asked for'))
    module = PositionRelation(num_heads=4)
    boxes = torch.rand(1, 6, 4)
    with monkeypatch.context() as plain:
        plain.setenv('MMEXT_TRITON', '0')
        expected = module(boxes)
    traced = torch.jit.trace(module, boxes, check_trace=False)
    exported = torch.export.export(module, (boxes, )).module()
    for form in (traced, exported):
        torch.testing.assert_close(form(boxes), expected, atol=1e-5, rtol=1e-5)
