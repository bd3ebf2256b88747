"""Small trained modules between a student's record and a loss."""
from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mmext.errors import UserError, did_you_mean
from mmext.registry import MODELS

PROJECTORS = ('linear', 'mlp')


class _PerLevel(nn.Module):
    """One layer for each tensor of a record."""

    layers: nn.ModuleList

    def forward(self, value: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
        """Apply each layer to its tensor."""
        if isinstance(value, Tensor):
            return self.layers[0](value)
        if len(self.layers) not in (1, len(value)):
            raise ValueError(f'{len(self.layers)} layers (in_channels), but the record has {len(value)}')
        return [self.layers[index % len(self.layers)](one) for index, one in enumerate(value)]


@MODELS.register_module()
class ConvConnector(_PerLevel):
    """A convolution that brings maps to the teacher's width.

    Args:
        in_channels: Channels of the student's map; a list for a record of several maps, one layer each.
        out_channels: Channels of the teacher's.
        kernel_size: Odd; the size of the map stays.
    """

    def __init__(self, in_channels: int | Sequence[int], out_channels: int, kernel_size: int = 1) -> None:
        super().__init__()
        widths = [in_channels] if isinstance(in_channels, int) else in_channels
        self.layers = nn.ModuleList(
            nn.Conv2d(width, out_channels, kernel_size, padding=kernel_size // 2) for width in widths)


@MODELS.register_module()
class LinearConnector(_PerLevel):
    """A linear layer over the last axis: for tokens and pooled features.

    Args:
        in_channels: Width of the student's tokens; a list for a record of several.
        out_channels: Width of the teacher's.
    """

    def __init__(self, in_channels: int | Sequence[int], out_channels: int) -> None:
        super().__init__()
        widths = [in_channels] if isinstance(in_channels, int) else in_channels
        self.layers = nn.ModuleList(nn.Linear(width, out_channels) for width in widths)


@MODELS.register_module()
class TokenProjector(nn.Module):
    """From the student's width to a teacher's.

    Args:
        in_channels: The student's width.
        out_channels: The teacher's.
        kind: 'linear', or 'mlp' (two layers with a GELU between).

    Raises:
        UserError: On another kind.
    """

    def __init__(self, in_channels: int, out_channels: int, kind: str = 'linear') -> None:
        super().__init__()
        if kind not in PROJECTORS:
            raise UserError(f"projector='{kind}'{did_you_mean(kind, PROJECTORS)} (choose from "
                            f'{", ".join(PROJECTORS)})')
        self.layers = nn.Sequential(nn.Linear(in_channels, out_channels))
        if kind == 'mlp':
            self.layers.append(nn.GELU())
            self.layers.append(nn.Linear(out_channels, out_channels))

    def forward(self, value: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
        """Tokens ``(B, N, C)`` or a map ``(B, C, h, w)``; of a list the first, the rest (masks) as it is."""
        if isinstance(value, list):
            return [self._project(value[0]), *value[1:]]
        return self._project(value)

    def _project(self, value: Tensor) -> Tensor:
        if value.ndim == 4:
            return self.layers(value.movedim(1, -1)).movedim(-1, 1)
        return self.layers(value)
