"""Whether an operation uses its Triton kernel.

The kernels are held equal to the plain paths by Triton's interpreter and are compiled for NVIDIA
devices in the tests. No GPU has run them yet, so nobody gets one without asking for it.
"""
from __future__ import annotations

import functools
import os
import warnings

import torch

from ..errors import UserError

#: '1' asks for the kernels wherever an operation is not told otherwise by its argument.
VARIABLE = 'MMEXT_TRITON'


def kernel_wanted(asked: bool | None, device: torch.device) -> bool:
    """Whether to run a Triton kernel on tensors of ``device``.

    Args:
        asked: True or False decides; None leaves it to ``MMEXT_TRITON``, which is off by default.
        device: Of the tensors: a GPU, or a CPU under Triton's interpreter (``TRITON_INTERPRET=1``).

    Returns:
        False also while a compiler or an exporter traces (it gets the plain path), and, with a
        warning, where Triton is asked for and cannot be imported.

    Raises:
        UserError: If ``MMEXT_TRITON`` is neither 0 nor 1.
    """
    if not (_environment() if asked is None else asked) or tracing():
        return False
    if device.type != 'cuda' and os.environ.get('TRITON_INTERPRET') != '1':
        return False
    return triton_importable()


def tracing() -> bool:
    """Whether ``torch.compile``, ``torch.export``, ``torch.jit.trace`` or the ONNX exporter is at work."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing() or torch.onnx.is_in_onnx_export()


def _environment() -> bool:
    value = os.environ.get(VARIABLE, '')
    if value not in ('', '0', '1'):
        raise UserError(f'{VARIABLE}={value}: expected 1 (use Triton kernels) or 0 (do not, the default)')
    return value == '1'


@functools.cache
def triton_importable() -> bool:
    """Whether Triton can be imported; warns once where it cannot."""
    try:
        import triton  # noqa: F401
    except (ImportError, OSError) as error:
        warnings.warn(f'Triton kernels are asked for, but Triton cannot be imported ({error}); the plain '
                      "path gives the same results. pip install 'mmext[triton]' brings it.",
                      stacklevel=3)
        return False
    return True
