"""What BiFormer and BiFormerSTL share: four stages, the contract of a backbone, weight files."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn as nn
from mmengine.model import BaseModule
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

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


class FourStageBackbone(BaseModule):
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

    #: Smallest side of an image, the stem's stride or more.
    min_size: int = 4

    def __init__(self, embed_dim: Sequence[int], out_indices: Sequence[int], extra_norms: bool,
                 final_norm: bool, num_classes: int, frozen_stages: int, norm_eval: bool,
                 disable_bn_grad: bool, with_cp: bool, use_checkpoint_stages: Sequence[int],
                 init_cfg: dict | list[dict] | None) -> None:
        super().__init__(init_cfg)
        if not out_indices or not set(out_indices) <= set(range(STAGES)):
            raise ValueError(f'out_indices={tuple(out_indices)}: expected one or more of 0 to 3')
        if not -1 <= frozen_stages <= STAGES:
            raise ValueError(f'frozen_stages={frozen_stages}: expected -1 to {STAGES}')
        if not set(use_checkpoint_stages) <= set(range(STAGES)):
            raise ValueError(f'use_checkpoint_stages={tuple(use_checkpoint_stages)}: expected any of '
                             '0 to 3')
        if extra_norms and final_norm:
            raise ValueError('extra_norms and final_norm exclude each other: the first is for dense '
                             'tasks, the second for classification')
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
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
        self._register_load_state_dict_pre_hook(_accept_files_of_the_authors, with_module=True)

    def _finish(self, norm: Callable[[int], nn.Module], channels: int) -> None:
        """Add the classifier's parts, initialise, freeze."""
        if self.final_norm or self.num_classes > 0:
            self.norm = norm(channels)
        if self.num_classes > 0:
            self.head = nn.Linear(channels, self.num_classes)
        self.apply(init_weights_of)
        self._freeze()

    def _prepared(self, x: Tensor) -> Tensor:
        if min(x.shape[-2:]) < self.min_size:
            raise ValueError(f'an image of {int(x.shape[-2])} x {int(x.shape[-1])} is too small for '
                             f'{type(self).__name__}: {self.min_size} pixels a side are needed')
        # Blocks work with channels last; on a GPU torch's own choice for the stem is faster.
        return x if x.is_cuda else x.contiguous(memory_format=torch.channels_last)

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

    def _freeze(self) -> None:
        if self.frozen_stages >= 0:
            for module in (*self.downsample_layers[:max(self.frozen_stages, 1)],
                           *self.stages[:self.frozen_stages]):
                module.eval()
                module.requires_grad_(False)
        if self.disable_bn_grad:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.requires_grad_(False)

    def train(self, mode: bool = True) -> FourStageBackbone:
        """Set the mode; frozen stages and, with ``norm_eval``, batch norms stay in evaluation."""
        super().train(mode)
        self._freeze()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self


def _accept_files_of_the_authors(module: FourStageBackbone, state: dict[str, Any], prefix: str,
                                 *_: Any) -> None:
    """Unwrap ``{'model': ...}`` or the backbone of a whole model, and refuse other variants."""
    if not prefix and isinstance(state.get('model'), dict):
        inner = state.pop('model')
        for name in [name for name in state if not isinstance(state[name], Tensor)]:
            state.pop(name)  # the authors' optimizer, epoch and arguments
        state.update(inner)
    if not prefix and not any(key.startswith('stages.') for key in state):
        for key in [key for key in state if key.startswith('backbone.')]:
            state[key.removeprefix('backbone.')] = state.pop(key)
    theirs = {key.removeprefix(prefix): value for key, value in state.items()
              if key.startswith((f'{prefix}stages.', f'{prefix}downsample_layers.'))}
    if not theirs:
        return
    ours = {key: value for key, value in module.state_dict().items()
            if key.startswith(('stages.', 'downsample_layers.'))}
    # Images may have other channels, and a file may hold more stages than are built.
    first = next(iter(ours))
    stages = tuple(f'{group}.{i}.' for group in ('stages', 'downsample_layers')
                   for i in range(module.built_stages))
    wrong = [
        f'{key} {tuple(ours[key].shape)} here, '
        f'{tuple(theirs[key].shape) if key in theirs else "absent"} in the file'
        for key in ours
        if key != first and (key not in theirs or ours[key].shape != theirs[key].shape)
    ] + [f'{key} absent here' for key in theirs if key.startswith(stages) and key not in ours]
    if wrong:
        raise ValueError(
            f'these weights are of another variant than this {type(module).__name__} '
            f'({_describe(theirs)} in the file, {_describe(ours)} here); {len(wrong)} parameters '
            f'differ, first: {wrong[0]}')


def _describe(state: dict[str, Tensor]) -> str:
    """Depth and width as the keys show them."""
    blocks = {tuple(key.removeprefix('stages.').replace('blocks.', '').split('.')[:2])
              for key in state if key.startswith('stages.')}
    depth = [sum(stage == str(i) for stage, _ in blocks) for i in range(STAGES)]
    dims = [next((value.shape[0] for key, value in state.items()
                  if key.startswith(f'stages.{i}.') and key.endswith('norm1.weight')), 0)
            for i in range(STAGES)]
    layout = 'stl' if any('.blocks.' in key for key in state) else 'plain'
    return f'{layout}, depth {depth}, embed_dim {dims}'
