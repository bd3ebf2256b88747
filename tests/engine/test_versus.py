"""The benchmarks' measuring: a table of ratios, after the results were compared."""
from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mmext.engine.analysis import versus


@dataclass(frozen=True)
class _Linear(versus.Case):
    """A linear layer; ``factor`` makes the reference wrong."""

    factor: float = 1.
    batch: int = 4

    def build(self, device: str) -> tuple[nn.Module, Tensor]:
        torch.manual_seed(0)
        return nn.Linear(8, 8), torch.rand(self.batch, 8)

    def reference(self, module: nn.Module) -> nn.Module:
        module.weight.data *= self.factor
        return module

    def small(self) -> _Linear:
        return self


def test_equal_forms_have_no_difference() -> None:
    assert versus.difference(_Linear(), 'cpu') == 0


def test_a_wrong_form_is_found() -> None:
    with pytest.raises(AssertionError, match='results differ by'):
        versus.difference(_Linear(factor=1.01), 'cpu')


def test_timings_of_both_forms() -> None:
    ours, theirs = versus.timings(_Linear(), 'cpu', rounds=2, budget=10., busy=False)
    assert len(ours) == len(theirs) == 3 and all(0 < one < 10 for one in (*ours, *theirs))


def _allocate(mebibytes: int) -> int:
    """Bytes measured for a tensor of so many mebibytes that is gone before the end."""
    for size in (1, mebibytes):
        with versus.peak('cpu') as found:
            torch.ones(size, 2**18).sum()
    return found[0]


def test_peak_memory_in_a_process_of_its_own() -> None:
    assert 0.9 < versus.in_child(_allocate, 64) / 2**26 < 1.3
    with pytest.raises(RuntimeError, match=r'the process of _exit died'):
        versus.in_child(os._exit, 1)


def test_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(versus, 'peak_memory', lambda case, device, reference: 2**20 * (1 + reference))
    out = tmp_path / 'docs' / 'table.md'
    threads = str(torch.get_num_threads())
    argv = ['--cases', 'a*', '--rounds', '1', '--threads', threads, '--out', str(out)]
    assert versus.run({'a case': _Linear(), 'b case': _Linear(factor=2.)}, '# Title', None, argv) == 0
    text = out.read_text()
    assert text.startswith('# Title\n') and 'torch' in text
    assert '| a case | 4 |' in text and 'b case' not in text and '1 (2)' in text and '**0.50**' in text
    assert '| a case |' in capsys.readouterr().out
    assert not list(out.parent.glob('*.tmp'))


@pytest.mark.parametrize(('argv', 'message'), [
    (['--cases', 'x'], "--cases 'x' fits none of: a"),
    (['--rounds', '0'], '--rounds 0, --threads'),
    (['--busy', '--device', 'cuda'], '--busy is for --device cpu'),
])
def test_wrong_arguments_are_named(argv: list[str], message: str, capsys) -> None:
    assert versus.run({'a': _Linear()}, '', None, argv) == 2
    assert message in capsys.readouterr().err
