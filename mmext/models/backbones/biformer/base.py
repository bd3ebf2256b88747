"""What BiFormer and BiFormerSTL share: four stages, the contract of a backbone, weight files."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch.nn as nn
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ..base import Backbone
from .blocks import LayerNorm2d

STAGES = 4


def per_stage(name: str, values: Sequence[Any]) -> list[Any]:
    """``values`` as a list; a ValueError that names the field if they are not one a stage."""
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != STAGES:
        count = f'{len(values)} values' if isinstance(values, Sequence) else repr(values)
        raise ValueError(f'{name} has {count}, expected {STAGES}: one for each stage')
    return list(values)


def rising_rates(last: float, count: int) -> list[float]:
    """Stochastic depth of ``count`` blocks, rising linearly from 0 to ``last``."""
    return [last * i / max(count - 1, 1) for i in range(count)]


def init_weights_of(module: nn.Module) -> None:
    """The authors' initialisation; convolutions and batch norms keep torch's."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class FourStageBackbone(Backbone):
    """Downsampling and blocks, four times; subclasses fill in the layers, then call ``_finish``.

    The parameters ``downsample_layers``, ``stages``, ``extra_norms``, ``norm`` and ``head`` have
    the official names.

    Args:
        embed_dim: Channels of each stage.
        out_indices: Stages whose maps are returned. Stages after the last one are not built.
        extra_norms: Channel LayerNorm on every returned map (the dense form).
        final_norm: Apply the classifier's norm to the last map, as classification needs.
        num_classes: More than 0 adds the paper's classifier for :meth:`classify`, unless
            ``extra_norms``: the dense form has none.
        frozen_stages: Freeze the stem (0) and this many stages; -1 freezes nothing.
        norm_eval: Keep batch norms in evaluation mode while training.
        disable_bn_grad: Do not train the weights of batch norms either.
        with_cp: Recompute every block in the backward pass to save memory.
        use_checkpoint_stages: The same for the blocks of these stages only.
        init_cfg: As for any :class:`BaseModule`.
    """

    stage_pattern = r'(stages|downsample_layers)\.\d+\.'
    block_pattern = r'stages\.(\d+)\.(?:blocks\.)?(\d+)\.norm1\.weight'
    min_size = 4

    def __init__(self, embed_dim: Sequence[int], out_indices: Sequence[int], extra_norms: bool,
                 final_norm: bool, num_classes: int, frozen_stages: int, norm_eval: bool,
                 disable_bn_grad: bool, with_cp: bool, use_checkpoint_stages: Sequence[int],
                 init_cfg: dict | list[dict] | None) -> None:
        super().__init__(out_indices, STAGES, STAGES, frozen_stages, norm_eval, init_cfg)
        if not set(use_checkpoint_stages) <= set(range(STAGES)):
            raise ValueError(f'use_checkpoint_stages={tuple(use_checkpoint_stages)}: expected any of '
                             '0 to 3')
        if extra_norms and final_norm:
            raise ValueError('extra_norms and final_norm exclude each other: the first is for dense '
                             'tasks, the second for classification')
        self.disable_bn_grad = disable_bn_grad
        #: Stages whose blocks are recomputed in the backward pass.
        self.recomputed_stages = set(range(STAGES)) if with_cp else set(use_checkpoint_stages)
        #: Channels of each returned map.
        self.out_channels = tuple(embed_dim[i] for i in self.out_indices)
        self.final_norm = final_norm and STAGES - 1 in self.out_indices
        self.num_classes = 0 if extra_norms else num_classes
        self.built_stages = STAGES if self.num_classes > 0 else max(self.out_indices) + 1
        self.downsample_layers = nn.ModuleList()
        self.stages = nn.ModuleList()
        self.extra_norms = nn.ModuleDict()
        if extra_norms:
            self.extra_norms.update({str(i): LayerNorm2d(embed_dim[i])
                                     for i in sorted(self.out_indices)})

    def _finish(self, norm: Callable[[int], nn.Module], channels: int) -> None:
        """Add the classifier's parts, initialise, freeze."""
        if self.final_norm or self.num_classes > 0:
            self.norm = norm(channels)
        if self.num_classes > 0:
            self.head = nn.Linear(channels, self.num_classes)
        self.apply(init_weights_of)
        self._freeze()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps.

        Args:
            x: Images ``(B, in_chans, H, W)``, normalised.

        Returns:
            One map ``(B, C_i, H_i, W_i)`` for each of ``out_indices``, in their order; strides are
            4, 8, 16 and 32.

        Raises:
            ValueError: If the image is smaller than :attr:`min_size`.
        """
        x = self._prepared(x)
        maps = {}
        for i in range(max(self.out_indices) + 1):
            x = self.stages[i](self.downsample_layers[i](x))
            maps[i] = x
        if self.final_norm:
            maps[STAGES - 1] = self.norm(x)
        if len(self.extra_norms):
            maps = {i: self.extra_norms[str(i)](maps[i]) for i in set(self.out_indices)}
        return tuple(maps[i].contiguous() for i in self.out_indices)

    def classify(self, x: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of images ``(B, in_chans, H, W)``.

        Raises:
            AttributeError: If the backbone was built without a classifier.
        """
        x = self._prepared(x)
        for i in range(STAGES):
            x = self.stages[i](self.downsample_layers[i](x))
        return self.head(self.norm(x).mean(dim=(2, 3)))

    def _frozen_modules(self) -> list[nn.Module]:
        if self.frozen_stages < 0:
            return []
        return [*self.downsample_layers[:max(self.frozen_stages, 1)],
                *self.stages[:self.frozen_stages]]

    def _freeze(self) -> None:
        super()._freeze()
        if self.disable_bn_grad:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.requires_grad_(False)

    def _describe(self, state: dict[str, Tensor]) -> str:
        layout = 'stl' if any('.blocks.' in key for key in state) else 'plain'
        return f'{layout}, {super()._describe(state)}'
