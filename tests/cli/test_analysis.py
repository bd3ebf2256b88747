"""get_flops, benchmark and the counting behind them."""
from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from mmext import hosts
from mmext.engine.analysis.flops import count_module
from mmext.engine.analysis.speed import Timing, endless, measure
from mmext.errors import UserError
from tests.apis.tiny import TASKS, write_config
from tests.apis.tools import run_tool

FLOPS, BENCHMARK = 'analysis_tools/get_flops.py', 'analysis_tools/benchmark.py'


@pytest.fixture
def work(tmp_path: Path, toy_root: Path, monkeypatch: pytest.MonkeyPatch,
         fresh_host: None) -> Path:
    """A folder to work in, with the toy data where the configs look."""
    monkeypatch.setenv('MMEXT_TOY_DATA', str(toy_root))
    monkeypatch.chdir(tmp_path)
    return tmp_path


class _Function(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def _tensor(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


# Each against PyTorch's own counter, which sees the kernels that run and counts 2 per multiply-add.
@pytest.mark.parametrize('module, inputs', [
    (nn.Conv2d(4, 6, 3, stride=2, groups=2), [_tensor(1, 4, 9, 9)]),
    (nn.ConvTranspose2d(4, 6, 3, stride=2), [_tensor(1, 4, 5, 5)]),
    (nn.Linear(5, 7), [_tensor(2, 3, 5)]),
    (_Function(torch.matmul), [_tensor(3, 4, 5), _tensor(5, 6)]),
    (_Function(torch.matmul), [_tensor(4, 5), _tensor(3, 5, 6)]),
    (_Function(torch.matmul), [_tensor(1, 4, 5), _tensor(3, 5, 6)]),
    (_Function(lambda a, b: torch.einsum('nqc,nkc->nqk', a, b)), [_tensor(2, 4, 5)] * 2),
    (_Function(torch.baddbmm), [_tensor(2, 3, 5), _tensor(2, 3, 4), _tensor(2, 4, 5)]),
], ids=['conv', 'transposed', 'linear', 'matmul', 'matmul-left', 'matmul-both', 'einsum', 'baddbmm'])
def test_counts_agree_with_the_kernels(module, inputs):
    with FlopCounterMode(display=False) as kernels, torch.no_grad():
        module(*inputs)
    total, *_, uncounted = count_module(module, *inputs)
    assert 2 * total == kernels.get_total_flops() > 0
    assert not uncounted


@pytest.mark.parametrize('queries, keys, width', [(6, 9, 8), (1, 1, 2)])
def test_attention_is_counted_however_it_is_written(queries, keys, width):
    batch, heads, values = 2, 3, 5
    query, key = _tensor(batch, heads, queries, width), _tensor(batch, heads, keys, width)
    value = _tensor(batch, heads, keys, values)
    fused, *_ = count_module(_Function(F.scaled_dot_product_attention), query, key, value)
    plain, *_ = count_module(
        _Function(lambda q, k, v: (q @ k.transpose(-1, -2)).softmax(-1) @ v), query, key, value)
    assert fused == plain == batch * heads * queries * keys * (width + values)


def test_the_fast_path_of_multihead_attention_hides_nothing():
    class SelfAttention(nn.Module):

        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            return self.attention(x, x, x)[0]

    total, *_ = count_module(SelfAttention(), _tensor(1, 6, 8))
    projections, scores = 4 * 6 * 8 * 8, 2 * 6 * 6 * 8
    assert total == projections + scores


def test_deformable_convolution():
    hosts.repair()
    from mmcv.ops import DeformConv2d, ModulatedDeformConv2d
    offset, mask = torch.zeros(1, 18, 6, 6), torch.ones(1, 9, 6, 6)
    total, *_, uncounted = count_module(DeformConv2d(4, 5, 3, padding=1), _tensor(1, 4, 6, 6), offset)
    assert total == 5 * 4 * 9 * 36 and not uncounted
    total, *_ = count_module(ModulatedDeformConv2d(4, 5, 3, padding=1), _tensor(1, 4, 6, 6),
                             offset, mask)
    assert total == 5 * 4 * 9 * 36


def test_what_has_no_rule_is_named():
    _, _, _, uncounted = count_module(_Function(torch.cdist), _tensor(4, 3), _tensor(5, 3))
    assert uncounted == {'aten::cdist': 1}
    _, _, _, uncounted = count_module(_Function(lambda x: (x + 1).softmax(-1)), _tensor(4, 3))
    assert not uncounted


@pytest.mark.parametrize('task', TASKS)
def test_the_whole_model_of_every_host(task, work, capsys):
    config = write_config(task, work)
    assert run_tool(FLOPS, config, '--shape', 64, '--json', '-') == 0
    record = json.loads(capsys.readouterr().out)  # nothing else on stdout
    assert record['shape'] == [64, 64] and record['mode'] == 'tensor'
    assert record['flops'] == 2 * record['macs'] > 0
    assert sum(part['macs'] for part in record['parts'].values()) == record['macs']
    assert sum(part['params'] for part in record['parts'].values()) == record['params']
    assert sum(record['operators'].values()) == record['macs']
    head = next(name for name in record['parts'] if name.endswith('head'))
    assert record['parts'][head]['macs'] > 0  # heads are called past __call__


def test_a_head_that_needs_metadata_is_counted_in_prediction(work, capsys):
    Path('maskformer.py').write_text(f"""
_base_ = ['mmseg::maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512.py']
model = dict(
    backbone=dict(depth=18, base_channels=8, stem_channels=8, init_cfg=None),
    decode_head=dict(
        in_channels=[8, 16, 32, 64], feat_channels=32, out_channels=32, num_queries=4,
        pixel_decoder=dict(norm_cfg=dict(num_groups=4)),
        positional_encoding=dict(num_feats=16),
        transformer_decoder=dict(num_layers=1, layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=32, num_heads=4),
            cross_attn_cfg=dict(embed_dims=32, num_heads=4),
            ffn_cfg=dict(embed_dims=32, feedforward_channels=32)))))
work_dir = '{work}'
""")
    assert run_tool(FLOPS, 'maskformer.py', '--shape', 64, 64, '--json', '-') == 0
    record = json.loads(capsys.readouterr().out)
    assert record['mode'] == 'predict' and record['parts']['decode_head']['macs'] > 0


def test_the_table(work, capsys):
    config = write_config('classification', work)
    assert run_tool(FLOPS, config, '--shape', 32, 48, '--json', 'cost/of.json') == 0
    printed = capsys.readouterr().out
    assert '32 x 48 input' in printed and 'backbone' in printed and '2 x MACs' in printed
    assert json.loads(Path('cost/of.json').read_text())['shape'] == [32, 48]
    assert run_tool(FLOPS, config, '--shape', 1, 2, 3) == 2
    assert run_tool(FLOPS, config, '--shape', 0) == 2


@given(st.lists(st.floats(1e-6, 10), min_size=1, max_size=40), st.floats(0, 100))
def test_percentiles_are_numpys(seconds, percent):
    timing = Timing(seconds, 1, 0)
    assert timing.percentile(percent) == pytest.approx(np.percentile(seconds, percent))


def test_measuring_leaves_the_warm_up_out():
    calls = []
    timing = measure(lambda: calls.append(1), items=4, warmup=3, repetitions=5)
    assert len(calls) == 8 and len(timing.seconds) == 5
    assert timing.throughput == pytest.approx(4 * 5 / sum(timing.seconds))
    assert timing.peak_memory > 2**20
    assert len(measure(lambda: None, warmup=0, repetitions=99, max_seconds=0).seconds) == 1


def test_measuring_data_that_ends():
    data = iter(range(4))
    assert len(measure(lambda: next(data), warmup=1, repetitions=9).seconds) == 3
    data = iter(range(2))
    with pytest.raises(UserError, match='ended within the warm-up'):
        measure(lambda: next(data), warmup=2, repetitions=1)
    with pytest.raises(UserError, match='repetitions 0'):
        measure(lambda: None, repetitions=0)


def test_endless_data():
    batches = endless([1, 2])
    assert [next(batches) for _ in range(5)] == [1, 2, 1, 2, 1]
    assert list(endless([])) == []


FEW = ('--warmup', 1, '--repetitions', 2)


def test_benchmark_of_inference(work, capsys):
    config = write_config('detection', work)
    assert run_tool(BENCHMARK, config, *FEW, '--shape', 64, '--batch-size', 2, '--device', 'cpu',
                    '--out', 'speed.json') == 0
    record = json.loads(Path('speed.json').read_text())
    assert (record['height'], record['width'], record['batch_size']) == (64, 64, 2)
    assert 0 < record['min_ms'] <= record['p50_ms'] <= record['p90_ms'] <= record['p99_ms']
    assert record['device'] == 'cpu' and record['threads'] >= 1 and record['torch']
    assert record['repetitions'] == 2
    assert 'items_per_second' in capsys.readouterr().out


def test_benchmark_table_grows(work):
    segmentation = write_config('semantic segmentation', work)
    assert run_tool(BENCHMARK, segmentation, *FEW, '--shape', 64, '--amp', 'bf16', '--fuse-conv-bn',
                    '--device', 'cpu', '--out', 'speed.csv') == 0
    assert run_tool(BENCHMARK, segmentation, *FEW, '--task', 'dataloader', '--num-workers', 0,
                    '--batch-size', 3, '--out', 'speed.csv') == 0
    with open('speed.csv', encoding='utf-8') as file:
        first, second = csv.DictReader(file)
    assert first['precision'] == 'bf16' and first['phase'] == ''
    assert second['task'] == 'dataloader' and second['batch_size'] == '3'
    assert second['phase'] == 'train' and second['precision'] == ''


@pytest.mark.parametrize('argv, message', [
    (('--out', 'speed.txt'), 'expected a .json or .csv'),
    (('--batch-size', 0), '--batch-size 0'),
    (('--shape', 1, 2, 3), '--shape 1 2 3'),
    (('--device', 'warp'), "no device 'warp'"),
    (('--checkpoint', 'absent.pth'), 'checkpoint not found'),
    (('--task', 'dataloader', '--cfg-options', 'train_dataloader=None'), 'no train_dataloader'),
])
def test_what_users_get_wrong(argv, message, work, capsys):
    assert run_tool(BENCHMARK, write_config('classification', work), *argv) == 2
    assert message in capsys.readouterr().err
