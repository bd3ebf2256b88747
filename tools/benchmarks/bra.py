"""Bi-level routing attention against the straightforward formulation (expand, gather, softmax).

    python tools/benchmarks/bra.py                       # all layers, about 10 minutes
    python tools/benchmarks/bra.py --cases '224*'        # some of them
    python tools/benchmarks/bra.py --device cuda --out docs/benchmarks/bra_gpu.md
    MMEXT_TRITON=1 python tools/benchmarks/bra.py --device cuda    # the Triton kernels

Each case first asserts that both give the same result and gradient, then times forward and backward
(best of several rounds, taken in turn) and measures the peak memory of one training step, each in a
process of its own. Whole networks are in backbones.py.
"""
from __future__ import annotations

import sys
from dataclasses import dataclass, replace

import torch
from straightforward import use_straightforward
from torch import Tensor, nn

from mmext.engine.analysis import versus
from mmext.models.backbones.biformer import BiLevelRoutingAttention


@dataclass(frozen=True)
class Layer(versus.Case):
    """The routed attention of a stage of BiFormer-S at an image size."""

    stage: int
    height: int
    width: int
    n_win: int
    batch: int

    def build(self, device: str) -> tuple[nn.Module, Tensor]:
        torch.manual_seed(0)
        dim = 32 * 2**self.stage
        module = BiLevelRoutingAttention(dim, num_heads=dim // 32, n_win=self.n_win,
                                         topk=(1, 4, 16)[self.stage - 1], side_dwconv=5)
        stride = 2**(self.stage + 1)
        shape = self.batch, -(-self.height // stride), -(-self.width // stride), dim
        return module.to(device).train(), torch.randn(shape, device=device)

    def reference(self, module: nn.Module) -> nn.Module:
        return use_straightforward(module)

    def small(self) -> Layer:
        return replace(self, height=64, width=64, n_win=2 if self.stage == 1 else 4, batch=1)


CASES = {
    **{f'224 stage {i}': Layer(i, 224, 224, 7, 8) for i in (1, 2, 3)},
    **{f'800x1333 stage {i}': Layer(i, 800, 1333, 16, 1) for i in (1, 2, 3)},
}
HEADING = """# Bi-level routing attention

Made by `python tools/benchmarks/bra.py`; ref is expand, gather, softmax.

With `MMEXT_TRITON=1` (or `routed_attention(..., triton=True)`) layers on a GPU read the routed regions in
place: Triton kernels, forward and backward, no gathered copies and no attention matrix, gradients the
same each time. They are verified by Triton's interpreter and by compilation for sm_80 and sm_90 (see
[triton_kernels.md](triton_kernels.md)), **not yet run on a GPU**, hence off by default;
`MMEXT_TRITON=1 python tools/benchmarks/bra.py --device cuda` measures them, after asserting equality there.
Soft routing, heads of more than 64 channels and double precision stay on the plain path."""

if __name__ == '__main__':
    sys.exit(versus.run(CASES, HEADING, __doc__))
