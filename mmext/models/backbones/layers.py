"""What several backbones and necks compute the same way."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """1x1 convolution with stride 1 and one group, ``(B, C, H, W) -> (B, C', H, W)``.

    On a CPU it is one matrix product of the channels-last view: torch's convolution would copy the
    map for it. An exported graph keeps the convolution.

    Args:
        x: The map; best with channels last in memory.
        weight: ``(C', C, 1, 1)``.
        bias: ``(C', )``.
    """
    if x.is_cuda or torch.onnx.is_in_onnx_export():
        return F.conv2d(x, weight, bias)
    return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


def channel_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """LayerNorm over the channels of a map, ``(B, C, H, W)``; no copies with channels last in memory."""
    return F.layer_norm(x.permute(0, 2, 3, 1), norm.normalized_shape, norm.weight, norm.bias,
                        norm.eps).permute(0, 3, 1, 2)


def keep_batch_norms(module: nn.Module) -> None:
    """Put the batch norms inside ``module`` into evaluation mode."""
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.eval()
