"""Fully connected networks on whole images: hard to train, which Guidance is about."""
from __future__ import annotations

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmext.errors import did_you_mean
from mmext.registry import MODELS

#: Widths of the hidden layers and the dropout, by the name in "Training the Untrainable".
SIZES: dict[str, tuple[tuple[int, ...], float]] = {
    'wide': ((8192, ) * 3, 0.),
    'deep': ((2048, *(1024, ) * 47), 0.1),
}


@MODELS.register_module()
class FullyConnectedNet(BaseModule):
    """Linear, batch norm, ReLU and dropout, many times; returns a vector for a classification head.

    Args:
        arch: 'wide' (3 layers of 8192) or 'deep' (2048, then 47 of 1024, dropout 0.1), or the widths.
        image_size: Height and width of the images, fixed.
        dropout: After each layer; None: that of ``arch``, or none.
        init_cfg: As for every mmengine module.

    Raises:
        ValueError: On an unknown ``arch``, and on images of another size.

    Example:
        >>> FullyConnectedNet([64, 32], image_size=16)(torch.rand(2, 3, 16, 16))[0].shape
        torch.Size([2, 32])
    """

    def __init__(self, arch: str | Sequence[int] = 'deep', image_size: int = 224,
                 dropout: float | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if isinstance(arch, str) and arch not in SIZES:
            raise ValueError(f"FullyConnectedNet: arch='{arch}'{did_you_mean(arch, SIZES)} (choose from "
                             f'{", ".join(SIZES)}, or give the widths)')
        widths, usual = SIZES[arch] if isinstance(arch, str) else (tuple(arch), 0.)
        rate = usual if dropout is None else dropout
        self.image_size = image_size
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(before, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(rate))
            for before, width in zip((3 * image_size**2, *widths), widths))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The last layer's answer.

        Args:
            x: Images ``(B, 3, image_size, image_size)``.

        Returns:
            One vector of each image, ``(B, C)``.
        """
        if x.shape[-2:] != (self.image_size, ) * 2:
            raise ValueError(f'FullyConnectedNet is for images of {self.image_size} x {self.image_size}, not '
                             f'{int(x.shape[-2])} x {int(x.shape[-1])}: resize them, or set image_size=')
        x = x.flatten(1)
        for layer in self.layers:
            x = layer(x)
        return (x, )
