"""EMOv2: lightweight backbone made of one block, the improved inverted residual mobile block.

Paper: "EMOv2: Pushing 5M Vision Model Frontier" (arXiv 2412.06674, 2024), the successor of EMO
("Rethinking Mobile Block for Efficient Attention-based Models", ICCV 2023).
Official code: https://github.com/zhangzjn/EMOv2 (commit 582a96f).

Differences from the official code, none of them numerical: close and remote windows go through one
batched attention call on queries, keys and values that are computed once; a map that fits in one
window is attended to once; nothing is changed in place; on a CPU channels stay last in memory from
end to end, so norms and 1x1 convolutions copy nothing, and depth-wise convolutions have a weight
gradient of their own. Parameter names are the official ones, so official files load as they are.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from ....registry import MODELS
from ..base import Backbone, run_blocks
from .block import NORMS, ConvNormAct, InvertedResidualMobileBlock, choose

# Four stages each. `operators` are those of every block but the first of a stage, which is always
# a 1x1 convolution; `drop_path_rate` is the rate of the published ImageNet training.
_COMMON: dict[str, Any] = dict(
    norm_layers=('BN', 'BN', 'LN2d', 'LN2d'),
    act_layers=('SiLU', 'SiLU', 'GELU', 'GELU'),
    dw_kernel_sizes=(5, 5, 5, 5),
    operators=('conv', 'conv', 'hybrid', 'hybrid'))
# EMO (2023) in the same class: smaller depth-wise kernels, remote windows only.
_EMO1: dict[str, Any] = dict(
    _COMMON, dw_kernel_sizes=(3, 3, 5, 5), operators=('conv', 'conv', 'remote', 'remote'))
_SIZES: dict[str, dict[str, Any]] = {
    '1M': dict(depths=(2, 2, 8, 3), embed_dims=(32, 48, 80, 180), exp_ratios=(2., 2.5, 3., 3.5),
               head_dims=(16, 16, 20, 20), drop_path_rate=0.04036),
    '2M': dict(depths=(3, 3, 9, 3), embed_dims=(32, 48, 120, 200), exp_ratios=(2., 2.5, 3., 3.5),
               head_dims=(16, 16, 20, 20), drop_path_rate=0.05),
    '5M': dict(depths=(3, 3, 9, 3), embed_dims=(48, 72, 160, 288), exp_ratios=(2., 3., 4., 4.),
               head_dims=(16, 24, 32, 32), drop_path_rate=0.05),
    '20M': dict(depths=(3, 3, 13, 3), embed_dims=(64, 128, 320, 448), exp_ratios=(2., 3., 4., 4.),
                head_dims=(16, 32, 32, 32), drop_path_rate=0.1),
    '50M': dict(depths=(5, 8, 20, 7), embed_dims=(64, 128, 384, 512), exp_ratios=(2., 3., 4., 4.),
                head_dims=(16, 32, 32, 32), drop_path_rate=0.2),
}
#: Published sizes: '1M' ... '50M' are EMOv2, 'emo1-1M' ... 'emo1-20M' are EMO of 2023.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    **{name: {**_COMMON, **size} for name, size in _SIZES.items()},
    **{f'emo1-{name}': {**_EMO1, **size} for name, size in _SIZES.items() if name != '50M'},
}


def _resolve(arch: str | dict[str, Any]) -> dict[str, Any]:
    """The sizes of a published architecture, or a dict of sizes completed with the common ones."""
    optional = dict(_COMMON, drop_path_rate=0., conv_kernel_sizes=(1, 1, 1, 1),
                    conv_groups=(1, 1, 1, 1))
    if isinstance(arch, str):
        return {**optional, **choose('architecture', arch, ARCHITECTURES)}
    required = ('depths', 'embed_dims', 'exp_ratios', 'head_dims')
    for name in arch:
        choose('key of arch', name, dict.fromkeys((*required, *optional)))
    sizes = {**optional, **arch}
    for name in required:
        if name not in sizes:
            raise ValueError(f"arch lacks '{name}': one value for each stage")
    for name, value in sizes.items():
        if name != 'drop_path_rate' and len(value) != len(sizes['depths']):
            raise ValueError(f"arch['{name}'] has {len(value)} values, depths has "
                             f'{len(sizes["depths"])}: one for each stage is needed')
    return sizes


@MODELS.register_module(name=['EMOv2', 'EMO2'])
class EMOv2(Backbone):
    """EMOv2 backbone (paper, Fig. 3 and Table 2); EMO of 2023 with ``arch='emo1-...'``.

    Args:
        arch: '1M', '2M', '5M', '20M', '50M', 'emo1-1M' ... 'emo1-20M', or a dict with, for each
            stage: ``depths``, ``embed_dims``, ``exp_ratios``, ``head_dims`` and, optionally,
            ``norm_layers``, ``act_layers``, ``dw_kernel_sizes``, ``operators`` (a name or several
            that are summed, of 'conv', 'remote', 'close', 'hybrid'), ``conv_kernel_sizes``,
            ``conv_groups``; and ``drop_path_rate`` for all.
        in_channels: Channels of the image.
        out_indices: Which maps to return: 0 is the stem (stride 2), 1 to 4 the stages (strides 4,
            8, 16, 32). Their channels are :attr:`out_channels`.
        window_size: Side of the attention windows in pixels of the stage's map, one value or one
            a stage; 0 or less takes the whole map. Published: 7 at 224 px, 8 at 256 and 512 px, 10
            for detection and segmentation. Any size loads any weights.
        drop_path_rate: Stochastic depth of the last block, rising linearly from 0; by default the
            rate that ``arch`` was published with.
        drop_rate: Dropout before the projection of each block.
        attn_drop_rate: Dropout of the attention weights.
        qkv_bias: Bias in the expanding operators.
        v_group: Grouped value projection.
        attn_pre: Attend before expanding; see :class:`.SpanningAttention`.
        layer_scale_init_value: Initial layer scale; 0 for none.
        dw_norm_act: Norm and activation after the depth-wise convolutions; see
            :class:`.InvertedResidualMobileBlock`.
        final_norm: Apply the classifier's norm to the last map, as classification needs.
        num_classes: More than 0 adds the paper's classifier for :meth:`classify`. Host configs
            leave it 0: there ``final_norm=True`` and the host's head make the classifier.
        frozen_stages: Freeze the stem and this many stages; -1 freezes nothing.
        norm_eval: Keep batch norms in evaluation mode while training.
        with_cp: Recompute each block in the backward pass to save memory.
        init_cfg: As for any :class:`BaseModule`; ``dict(type='Pretrained', checkpoint=...)`` takes
            official files as well as converted ones.

    Raises:
        ValueError: If ``arch``, ``out_indices`` or ``frozen_stages`` is none of the above.
        UserError: On loading weights of another variant.

    Example:
        >>> backbone = EMOv2('1M', out_indices=(1, 2, 3, 4))
        >>> [tuple(x.shape) for x in backbone(torch.rand(1, 3, 64, 64))]
        [(1, 32, 16, 16), (1, 48, 8, 8), (1, 80, 4, 4), (1, 180, 2, 2)]
    """

    stage_pattern = r'stage\d+\.'
    block_pattern = r'stage([1-9]\d*)\.(\d+)\.proj\.conv\.weight'

    def __init__(self,
                 arch: str | dict[str, Any] = '5M',
                 in_channels: int = 3,
                 out_indices: Sequence[int] = (1, 2, 3, 4),
                 window_size: int | Sequence[int] = 7,
                 drop_path_rate: float | None = None,
                 drop_rate: float = 0.,
                 attn_drop_rate: float = 0.,
                 qkv_bias: bool = True,
                 v_group: bool = False,
                 attn_pre: bool = False,
                 layer_scale_init_value: float = 1e-6,
                 dw_norm_act: tuple[str, str] = ('BN', 'SiLU'),
                 final_norm: bool = False,
                 num_classes: int = 0,
                 frozen_stages: int = -1,
                 norm_eval: bool = False,
                 with_cp: bool = False,
                 init_cfg: dict | list[dict] | None = None) -> None:
        sizes = _resolve(arch)
        depths, dims = sizes['depths'], sizes['embed_dims']
        stages = len(depths)
        super().__init__(out_indices, stages + 1, stages, frozen_stages, norm_eval, init_cfg)
        windows = [window_size] * stages if isinstance(window_size, int) else list(window_size)
        if len(windows) != stages:
            raise ValueError(f'window_size has {len(windows)} values for {stages} stages')
        self.with_cp = with_cp

        stem_dim = dims[0] // 2
        self.stage0 = nn.ModuleList([
            ConvNormAct(in_channels, stem_dim, 3, stride=2, bias=True, norm='BN', act='SiLU'),
            ConvNormAct(stem_dim, stem_dim, 3, groups=stem_dim, norm='BN', act='SiLU'),
            ConvNormAct(stem_dim, stem_dim),
        ])
        if drop_path_rate is None:
            drop_path_rate = sizes['drop_path_rate']
        rates = iter(torch.linspace(0, drop_path_rate, sum(depths), device='cpu').tolist())
        channels = [stem_dim, *dims]
        for i in range(stages):
            shared: dict[str, Any] = dict(
                norm=sizes['norm_layers'][i], act=sizes['act_layers'][i], dw_norm_act=dw_norm_act,
                head_dim=sizes['head_dims'][i], window_size=windows[i], qkv_bias=qkv_bias,
                attn_drop=attn_drop_rate, v_group=v_group, attn_pre=attn_pre, drop=drop_rate,
                layer_scale_init_value=layer_scale_init_value)
            operators, dw_kernel = sizes['operators'][i], sizes['dw_kernel_sizes'][i]
            first = dict(
                operators=('conv', ), exp_ratio=2 * sizes['exp_ratios'][i], stride=2, skip=False,
                dw_kernel_size=dw_kernel if dw_kernel > 0 else 5)
            others = dict(
                operators=(operators, ) if isinstance(operators, str) else operators,
                exp_ratio=sizes['exp_ratios'][i], dw_kernel_size=dw_kernel,
                conv_kernel_size=sizes['conv_kernel_sizes'][i], conv_groups=sizes['conv_groups'][i])
            try:
                blocks = [
                    InvertedResidualMobileBlock(channels[i + min(j, 1)], channels[i + 1],
                                                drop_path=next(rates), **shared,
                                                **(others if j else first))
                    for j in range(depths[i])
                ]
            except ValueError as error:
                raise ValueError(f'stage {i + 1} of EMOv2: {error}') from None
            self.add_module(f'stage{i + 1}', nn.ModuleList(blocks))
        #: Channels of each returned map.
        self.out_channels = tuple(channels[i] for i in self.out_indices)

        self.final_norm = final_norm and stages in self.out_indices
        if self.final_norm or num_classes > 0:
            self.norm = choose('norm', sizes['norm_layers'][-1], NORMS)(dims[-1])
        if num_classes > 0:
            self.head = nn.Linear(dims[-1], num_classes)
            nn.init.trunc_normal_(self.head.weight, std=.02)
            nn.init.zeros_(self.head.bias)
        self._freeze()

    def _stages(self) -> list[nn.ModuleList]:
        return [module for name, module in self.named_children() if name.startswith('stage')]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps.

        Args:
            x: Images ``(B, in_channels, H, W)``, normalised, of any size.

        Returns:
            One map ``(B, C_i, ceil(H / stride_i), ceil(W / stride_i))`` for each of
            ``out_indices``, in their order.
        """
        maps = {}
        last = max(self.out_indices)
        x = self._prepared(x)
        for i, stage in enumerate(self._stages()[:last + 1]):
            x = run_blocks(stage, x, self.with_cp)
            maps[i] = x
        if self.final_norm:
            maps[last] = self.norm(x)
        return tuple(maps[i].contiguous() for i in self.out_indices)

    def classify(self, x: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of images ``(B, in_channels, H, W)``.

        Raises:
            AttributeError: If the backbone was built without ``num_classes``.
        """
        x = self._prepared(x)
        for stage in self._stages():
            x = run_blocks(stage, x, self.with_cp)
        return self.head(self.norm(x).mean(dim=(2, 3)))

    def _frozen_modules(self) -> list[nn.ModuleList]:
        return self._stages()[:self.frozen_stages + 1]
