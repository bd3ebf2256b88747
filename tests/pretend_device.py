"""A device that is none: tensors with data that refuse to be mixed with those of the processor.

Nothing here has a GPU, so a tensor that a model forgets on the processor would be found by its first user.
Within ``pretend_device()``, ``model.to(DEVICE)`` has its parameters and buffers elsewhere, what is made with
``device=x.device`` is there too, and an operation that reads from both raises what it would on a GPU. The
device is called 'meta', since autograd knows that one on every machine; it has no streams and no kernels.
"""
from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Union

import torch
from mmengine.structures import instance_data
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

DEVICE = torch.device('meta')
_aten = torch.ops.aten
#: Operations that read indices of the processor, and that copy between devices.
_INDEX = {_aten.index.Tensor, _aten._unsafe_index.Tensor, _aten.index_put.default, _aten.index_put_.default,
          _aten._index_put_impl_.default}
_COPY = {_aten.copy_.default, _aten._to_copy.default}


class OtherDevice(torch.Tensor):
    """A tensor of the pretended device; ``held`` has its data."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OtherDevice:
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(),
            dtype=held.dtype, layout=held.layout, device=DEVICE)
        made.held = held
        return made

    def tolist(self) -> Any:
        return self.held.tolist()

    def new_tensor(self, data: Any, dtype: torch.dtype | None = None, device: Any = DEVICE,
                   requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
        return torch.tensor(data, dtype=dtype or self.dtype, device=device).requires_grad_(requires_grad)

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f'OtherDevice({self.held})'

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, Tensor)]
    there = [one for one in tensors if isinstance(one, OtherDevice)]
    device = kwargs.get('device')
    if not there and (device is None or torch.device(device) != DEVICE):
        return func(*args, **kwargs)
    forgotten = [one for one in tensors if not isinstance(one, OtherDevice) and one.ndim]
    if there and forgotten and not _may_mix(func, args):
        raise RuntimeError(f'Expected all tensors to be on the same device: {func} got '
                           f'{[tuple(one.shape) for one in forgotten]} of the processor')
    inner = dict(kwargs, device='cpu') if device is not None else kwargs
    out = func(*tree_map_only(OtherDevice, lambda one: one.held, args),
               **tree_map_only(OtherDevice, lambda one: one.held, inner))
    if device is not None:
        goes = torch.device(device) == DEVICE
    else:
        goes = isinstance(args[0] if func in _COPY else there[0], OtherDevice)
    if not goes:
        return out
    out = tree_map_only(Tensor, OtherDevice, out)
    return return_and_correct_aliasing(func, args, kwargs, out) if there else out


def _may_mix(func: Any, args: Any) -> bool:
    """Copies go between devices, and indices may be of the processor; what is written may not."""
    if func not in _INDEX or not isinstance(args[0], OtherDevice):
        return func in _COPY
    written = args[2] if len(args) > 2 else None
    return written is None or isinstance(written, OtherDevice) or not written.ndim


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Literals(TorchFunctionMode):
    """Tensors made of numbers: torch puts those of 'meta' there without asking a subclass."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor, torch.asarray) and kwargs.get('device') is not None \
                and torch.device(kwargs['device']) == DEVICE:
            if isinstance(args[0], Tensor):
                return args[0].to(DEVICE, kwargs.get('dtype'))
            numbers = tree_map_only(OtherDevice, lambda one: one.tolist(), args)
            return func(*numbers, **{**kwargs, 'device': 'cpu'}).to(DEVICE)
        return func(*args, **kwargs)


class _Compiled:
    """mmcv's compiled operations, which have no kernel for the device."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(self.module, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            leaves, spec = tree_flatten((args, kwargs))
            tensors = [one for one in leaves if isinstance(one, Tensor) and one.ndim]
            there = [isinstance(one, OtherDevice) for one in tensors]
            if any(there) and not all(there):
                raise RuntimeError(f'Expected all tensors to be on the same device: {name}')
            held = [one.held if isinstance(one, OtherDevice) else one for one in leaves]
            inner_args, inner_kwargs = tree_unflatten(held, spec)
            out = function(*inner_args, **inner_kwargs)
            return tree_map_only(Tensor, OtherDevice, out) if any(there) else out
        return call


@contextmanager
def pretend_device() -> Iterator[None]:
    """Within, :data:`DEVICE` holds data; mmcv's operations, mmengine's indexing and autocast know it."""
    autocast = torch.autocast
    compiled: list[Any] = [module for name, module in sys.modules.items()
                           if name.startswith('mmcv.ops.') and hasattr(module, 'ext_module')]
    kept = [module.ext_module for module in compiled]
    for module in compiled:
        module.ext_module = _Compiled(module.ext_module)
    index_type = instance_data.IndexType
    instance_data.IndexType = Union[index_type, OtherDevice]  # noqa: UP007
    torch.autocast = lambda device, *args, **kwargs: autocast(
        'cpu' if torch.device(device) == DEVICE else device, *args, **kwargs)
    try:
        with _Mode(), _Literals():
            yield
    finally:
        torch.autocast, instance_data.IndexType = autocast, index_type
        for module, one in zip(compiled, kept):
            module.ext_module = one
