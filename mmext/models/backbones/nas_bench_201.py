"""The networks of NAS-Bench-201: one cell, searched, repeated in three stages.

NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search (Dong and Yang, ICLR 2020),
section 2.1. 5 operations on 6 edges make 15,625 cells.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmext.errors import did_you_mean
from mmext.registry import MODELS

_EDGES = tuple((start, end) for end in range(1, 4) for start in range(end))


class _Zero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def _relu_conv_norm(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False),
        nn.BatchNorm2d(out_channels))


#: What an edge can do, by the benchmark's names.
OPERATIONS: dict[str, Callable[[int], nn.Module]] = {
    'none': lambda width: _Zero(),
    'skip_connect': lambda width: nn.Identity(),
    'nor_conv_1x1': lambda width: _relu_conv_norm(width, width, 1),
    'nor_conv_3x3': lambda width: _relu_conv_norm(width, width, 3),
    'avg_pool_3x3': lambda width: nn.AvgPool2d(3, 1, 1, count_include_pad=False),
}


class _Cell(nn.Module):
    """Four nodes; each is the sum of what the edges make of the nodes before."""

    def __init__(self, width: int, cell: Sequence[str]) -> None:
        super().__init__()
        self.edges = nn.ModuleList(OPERATIONS[name](width) for name in cell)

    def forward(self, x: Tensor) -> Tensor:
        nodes = [x]
        for end in range(1, 4):
            nodes.append(torch.stack([edge(nodes[start]) for (start, at), edge in zip(_EDGES, self.edges)
                                      if at == end]).sum(0))
        return nodes[-1]


class _Reduction(nn.Module):
    """Residual block that halves the map."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_relu_conv_norm(in_channels, out_channels, 3, 2),
                                  _relu_conv_norm(out_channels, out_channels, 3))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(in_channels, out_channels, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.body(x)


@MODELS.register_module()
class NASBench201Net(BaseModule):
    """A network of NAS-Bench-201, for images of 32 pixels.

    Args:
        cell: The operations of the edges 0-1, 0-2, 1-2, 0-3, 1-3 and 2-3, each 'none', 'skip_connect',
            'nor_conv_1x1', 'nor_conv_3x3' or 'avg_pool_3x3'.
        channels: Of the first stage; the others have twice and four times as many.
        repeats: Cells in each stage.
        init_cfg: As for every mmengine module.

    Raises:
        ValueError: On another number of operations or an unknown one.

    Example:
        >>> NASBench201Net(['nor_conv_3x3'] * 6)(torch.rand(1, 3, 32, 32))[0].shape
        torch.Size([1, 64, 8, 8])
    """

    def __init__(self, cell: Sequence[str], channels: int = 16, repeats: int = 5,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if len(cell) != len(_EDGES):
            raise ValueError(f'NASBench201Net: cell has {len(cell)} operations, expected {len(_EDGES)}')
        for name in cell:
            if name not in OPERATIONS:
                raise ValueError(f"NASBench201Net: no operation '{name}'{did_you_mean(name, OPERATIONS)} "
                                 f'(choose from {", ".join(OPERATIONS)})')
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        widths = [channels, 2 * channels, 4 * channels]
        self.stages = nn.ModuleList()
        for before, width in zip((None, *widths), widths):
            blocks = [_Reduction(before, width)] if before else []
            self.stages.append(nn.Sequential(*blocks, *(_Cell(width, cell) for _ in range(repeats))))
        self.last = nn.Sequential(nn.BatchNorm2d(widths[-1]), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The map of the last stage.

        Args:
            x: Images ``(B, 3, H, W)``.

        Returns:
            One map ``(B, 4 * channels, H / 4, W / 4)``.
        """
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return (self.last(x), )
