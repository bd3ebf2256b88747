"""Parameters and operations of a whole model, of any host.

Conventions. mmengine (after fvcore) counts one multiply-add as *one* operation, plus a few
operations per element for norms and interpolation. The hosts' model zoos and most papers print that
number as "FLOPs". Counting the multiplication and the addition separately, as hardware vendors and
:mod:`torch.utils.flop_counter` do, gives twice as much. Here the first is ``macs``, the second
``flops`` (2 x ``macs``), and both are printed.

What is counted is a forward pass in evaluation mode, batch size 1: backbone, neck and heads,
without decoding and NMS. Activation functions, softmax, additions and indexing count nothing.
"""
from __future__ import annotations

import contextlib
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .dummy import dummy_batch

if TYPE_CHECKING:
    from mmengine.config import Config

# Operators that do more than touch each element: without a handle, their work would be missed.
_HEAVY = re.compile(r'conv|mm|matmul|linear|einsum|attention|lstm|gru|rnn|fft|cdist|dot|inner|'
                    r'outer|mv$|grid_sampl|upsample|interpolate|PythonOp')


@dataclass(frozen=True)
class Part:
    """A module's share: ``params`` and multiply-adds."""

    params: int
    macs: int


@dataclass(frozen=True)
class Complexity:
    """What a model costs.

    Attributes:
        shape: Height and width that the network saw, padding included.
        mode: The forward pass that was counted: ``'tensor'``, or ``'predict'`` for models whose
            plain forward pass needs more than an image.
        params: Number of parameters; ``trainable`` of them receive gradients.
        macs: Multiply-adds; the module's docstring has the convention.
        parts: Share of each top-level child; ``'(rest)'`` is computed outside of them.
        operators: Multiply-adds by kind of operator.
        uncounted: Calls of operators that have no rule, by name; ``macs`` lacks them.
    """

    shape: tuple[int, int]
    mode: str
    params: int
    trainable: int
    macs: int
    parts: Mapping[str, Part]
    operators: Mapping[str, int]
    uncounted: Mapping[str, int]

    @property
    def flops(self) -> int:
        """Multiplications and additions: 2 x ``macs``."""
        return 2 * self.macs

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dict(asdict(self), flops=self.flops)


# ------------------------------------------------------------------------------------ op handles
# A handle gets the traced inputs and outputs of one call and returns its multiply-adds.


def _shape(value: Any) -> list[int]:
    from mmengine.analysis.jit_handles import get_shape
    shape = get_shape(value)
    assert shape is not None
    return shape


def _attention(inputs: list[Any], outputs: list[Any]) -> int:
    """``scaled_dot_product_attention``: Q K^T and A V. mmengine has no handle for it."""
    query, key, value = (_shape(one) for one in inputs[:3])
    return math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _matmul(inputs: list[Any], outputs: list[Any]) -> int:
    """``matmul`` with broadcasting; mmengine's handle takes the first factor's batch for all."""
    first, second = _shape(inputs[0]), _shape(inputs[1])
    if len(first) == 1 or len(second) == 1:
        return max(math.prod(first), math.prod(second))
    batch = torch.broadcast_shapes(first[:-2], second[:-2])
    return math.prod(batch) * first[-2] * first[-1] * second[-1]


def _einsum(inputs: list[Any], outputs: list[Any]) -> int:
    """Two factors exactly; mmengine's handle reads four digits off numpy's printed plan."""
    from mmengine.analysis.jit_handles import einsum_flop_jit
    equation = inputs[0].toIValue().replace(' ', '').partition('->')[0]
    shapes = [_shape(one) for one in inputs[1].node().inputs()]
    if len(shapes) != 2 or '.' in equation:
        return einsum_flop_jit(inputs, outputs)
    sizes = {letter: size for term, shape in zip(equation.split(','), shapes, strict=True)
             for letter, size in zip(term, shape, strict=True)}
    return math.prod(sizes.values())


def _baddbmm(inputs: list[Any], outputs: list[Any]) -> int:
    first, second = _shape(inputs[1]), _shape(inputs[2])
    return math.prod(first) * second[-1]


def _deform_conv(weight_at: int) -> Any:
    """mmcv's deformable convolutions; the bilinear sampling is left out, as mmengine leaves it."""
    def handle(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
        weight, out = _shape(inputs[weight_at]), _shape(outputs[0])
        return Counter(deform_conv=out[0] * math.prod(weight) * math.prod(out[2:]))
    return handle


_HANDLES: dict[str, Any] = {
    'aten::scaled_dot_product_attention': _attention,
    'aten::matmul': _matmul,
    'aten::baddbmm': _baddbmm,
    'aten::einsum': _einsum,
    'prim::PythonOp.DeformConv2dFunction': _deform_conv(2),
    'prim::PythonOp.ModulatedDeformConv2dFunction': _deform_conv(3),
}


# --------------------------------------------------------------------------------------- counting


class _Traceable(nn.Module):
    """The model as a function from an image tensor to tensors, which is all that can be traced."""

    def __init__(self, model: nn.Module, samples: Any, mode: str) -> None:
        super().__init__()
        self.model, self.samples, self.mode = model, samples, mode

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(_tensors(self.model(inputs, self.samples, mode=self.mode)))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _tensors(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)
    elif hasattr(value, 'all_values'):  # a data sample, or what lies in it
        yield from _tensors(list(value.all_values()))
    elif isinstance(getattr(value, 'tensor', None), Tensor):  # a box type
        yield value.tensor


@contextlib.contextmanager
def _countable() -> Iterator[None]:
    """nn.MultiheadAttention step by step: its fused kernel hides everything from the trace."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # the tracer's remarks about every Python branch
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def count_module(module: nn.Module, *inputs: Tensor) -> tuple[int, dict[str, int], dict[str, int],
                                                              dict[str, int]]:
    """Multiply-adds of one call of a module.

    Args:
        module: Anything that maps tensors to tensors; called in evaluation mode.
        inputs: What it is called with.

    Returns:
        The total, and it by submodule name, by operator, and the calls that were not counted.
    """
    from mmengine.analysis import FlopAnalyzer
    analyzer = FlopAnalyzer(module.eval(), inputs)
    analyzer.set_op_handle(**_HANDLES)
    analyzer.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with _countable(), torch.no_grad():
        total = round(analyzer.total())
    by_module = {name: round(count) for name, count in analyzer.by_module().items()}
    operators = {name: round(count) for name, count in analyzer.by_operator().items() if count}
    return total, by_module, operators, _uncounted(analyzer.unsupported_ops())


def _uncounted(calls: Mapping[str, int]) -> dict[str, int]:
    """Of the operators without a handle, those that may do real work."""
    return {name: count for name, count in sorted(calls.items()) if _HEAVY.search(name)}


def complexity(cfg: Config, model: Any, shape: tuple[int, int] | None = None) -> Complexity:
    """Count a config's model.

    Args:
        cfg: A whole config.
        model: Its model, on the CPU (:func:`mmext.apis.model.build_model`).
        shape: Height and width of the input; None: what the test pipeline makes of an 800 x 1280
            picture.

    Returns:
        What the model costs.
    """
    from mmengine.registry import DefaultScope
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        data = model.data_preprocessor(dummy_batch(cfg, shape), False)
        inputs, samples = data['inputs'], data['data_samples']
        try:
            mode = 'tensor'
            total, modules, operators, uncounted = count_module(
                _Traceable(model, samples, mode), inputs)
        except (TypeError, AttributeError, NotImplementedError):
            # Some heads (mmseg's MaskFormer) need the samples' metadata even to run plainly.
            mode = 'predict'
            total, modules, operators, uncounted = count_module(
                _Traceable(model, samples, mode), inputs)
    parts = {
        name: Part(sum(p.numel() for p in child.parameters()), modules.get(f'model.{name}', 0))
        for name, child in model.named_children()
    }
    parts = {name: part for name, part in parts.items() if part.params or part.macs}
    params = sum(p.numel() for p in model.parameters())
    rest = Part(params - sum(part.params for part in parts.values()),
                total - sum(part.macs for part in parts.values()))
    if rest.macs or rest.params > 0:
        parts['(rest)'] = rest
    return Complexity(
        shape=tuple(inputs.shape[-2:]), mode=mode, params=params,
        trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
        macs=total, parts=parts, operators=operators, uncounted=uncounted)
