"""Whole backbones against the straightforward formulation, see straightforward.py.

    python tools/benchmarks/backbones.py                      # all of them, about 15 minutes
    python tools/benchmarks/backbones.py --cases '*EMOv2*'    # some of them
    python tools/benchmarks/backbones.py --device cuda --out docs/benchmarks/backbones_gpu.md

Each case first asserts that both give the same maps and gradient, then times forward and backward
(best of several rounds, taken in turn) and measures the peak memory of one training step, each in a
process of its own. Dropout and stochastic depth are left out, as their draws would differ; batch
norms train.
"""
from __future__ import annotations

import sys
from dataclasses import dataclass, replace

import torch
from straightforward import use_straightforward
from torch import Tensor, nn

from mmext.engine.analysis import versus
from mmext.models.backbones.biformer import BiFormer
from mmext.models.backbones.dsnet import DSNet
from mmext.models.backbones.emov2 import EMOv2


@dataclass(frozen=True)
class Network(versus.Case):
    """A backbone at an image size."""

    name: str
    height: int
    width: int
    batch: int

    def build(self, device: str) -> tuple[nn.Module, Tensor]:
        torch.manual_seed(0)
        dense = self.height > 224
        network: nn.Module
        if self.name.startswith('EMOv2'):
            # Published layer scales start at 1e-6, where nothing of the blocks would be seen.
            network = EMOv2(self.name.split('-')[1], window_size=10 if dense else 7,
                            drop_path_rate=0., layer_scale_init_value=0.5)
        elif self.name.startswith('BiFormer'):
            network = BiFormer(self.name.split('-')[1], n_win=16 if dense else 7)
        else:
            network = DSNet(self.name.split('-')[1], attn_drop=0.)
        x = torch.randn(self.batch, 3, self.height, self.width, device=device)
        return network.to(device).train(), x

    def comparable(self, device: str) -> tuple[nn.Module, Tensor]:
        # In double precision: with random weights regions are so alike that rounding in float32
        # routes some of them elsewhere. On a smaller image of the same kind, for time's sake.
        size = replace(self, height=min(self.height, 320), width=min(self.width, 445), batch=2)
        module, x = size.build(device)
        return module.double(), x.double()

    def reference(self, module: nn.Module) -> nn.Module:
        return use_straightforward(module)

    def small(self) -> Network:
        return replace(self, height=64, width=64, batch=1)


NAMES = ('BiFormer-T', 'EMOv2-5M', 'DSNet-T')
CASES = {
    **{f'224 {name}': Network(name, 224, 224, 4) for name in NAMES},
    **{f'800x1333 {name}': Network(name, 800, 1333, 1) for name in NAMES},
}
HEADING = """# Backbones

Made by `python tools/benchmarks/backbones.py`; ref is the straightforward formulation in
`tools/benchmarks/straightforward.py`. The networks return four maps; 224 is the size of
classification, 800x1333 that of detection."""

if __name__ == '__main__':
    sys.exit(versus.run(CASES, HEADING, __doc__))
