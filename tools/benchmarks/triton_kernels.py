"""Compiles the Triton kernels ahead of time, without a GPU, and says what each takes of one.

    python tools/benchmarks/triton_kernels.py
    python tools/benchmarks/triton_kernels.py --targets 90 --cases 'relation 8*'
    python tools/benchmarks/triton_kernels.py --out docs/benchmarks/triton_kernels.md

The operations run on CPU tensors with recorders in place of the kernels, so what is compiled is what a
launch would compile. Ends with code 1 if a kernel spills registers to memory.
"""
from __future__ import annotations

import argparse
import fnmatch
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

TYPES = {torch.float32: '*fp32', torch.float16: '*fp16', torch.bfloat16: '*bf16', torch.uint8: '*u8',
         torch.int32: '*i32', torch.int64: '*i64'}


@dataclass
class Recorder:
    """Stands in for a kernel: notes its launches and runs nothing."""

    kernel: Any
    launches: list[tuple[Any, dict[str, Any], int]] = field(default_factory=list)

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        return self.launch

    def launch(self, *args: Any, num_warps: int, **kwargs: Any) -> None:
        """A kernel's call."""
        named = dict(zip(self.kernel.arg_names, args)) | kwargs
        self.launches.append((self.kernel, named, num_warps))


def recorded(module: ModuleType, run: Callable[[], None]) -> list[tuple[Any, dict[str, Any], int]]:
    """What ``run`` launches of the kernels (``*_kernel``) of ``module``."""
    kernels = {name: kernel for name, kernel in vars(module).items() if name.endswith('_kernel')}
    launches: list[tuple[Any, dict[str, Any], int]] = []
    for name, kernel in kernels.items():
        setattr(module, name, Recorder(kernel, launches))
    try:
        run()
    finally:
        for name, kernel in kernels.items():
            setattr(module, name, kernel)
    return launches


@dataclass(frozen=True)
class Relation:
    """A position relation of 900 queries and a backward pass of it."""

    heads: int
    embed_dims: int = 16
    sides: int = 4
    dtype: torch.dtype = torch.float32

    def launches(self) -> list[tuple[Any, dict[str, Any], int]]:
        from mmext.ops.position_relation import triton_kernels

        def run() -> None:
            boxes = torch.rand(1, 900, self.sides)
            weight = torch.rand(self.heads, 4 * self.embed_dims, requires_grad=True)
            mask = torch.zeros(900, 900, dtype=torch.bool)
            out = triton_kernels.FusedPositionRelation.apply(
                boxes, boxes, weight, torch.rand(self.heads), 10000., 100., mask, self.dtype)
            out.backward(torch.ones_like(out))

        return recorded(triton_kernels, run)


@dataclass(frozen=True)
class Routed:
    """The routed attention of a stage of BiFormer-S for an 800x1344 image, forward and backward."""

    stage: int
    dtype: torch.dtype = torch.float32
    head_dim: int = 32

    def launches(self) -> list[tuple[Any, dict[str, Any], int]]:
        from mmext.ops.bra import triton_kernels

        def run() -> None:
            heads = 2**self.stage
            tokens = {1: 13 * 21, 2: 7 * 11, 3: 4 * 6}[self.stage]
            query, key, value = (torch.zeros(256, tokens, self.head_dim * heads, dtype=self.dtype,
                                             requires_grad=True) for _ in range(3))
            rows = torch.zeros(256, (1, 4, 16)[self.stage - 1], dtype=torch.int64)
            out = triton_kernels.FusedRoutedAttention.apply(query, key, value, rows, heads, 0.1, None)
            out.backward(torch.ones_like(out))

        return recorded(triton_kernels, run)


CASES: dict[str, Relation | Routed] = {
    'relation 4 heads': Relation(4), 'relation 8 heads': Relation(8), 'relation 16 heads': Relation(16),
    'relation 8 heads, rotated': Relation(8, sides=5),
    'relation 8 heads, bfloat16': Relation(8, dtype=torch.bfloat16),
    'relation 8 heads, 32 features': Relation(8, embed_dims=32),
    **{f'routed attention stage {i}, {name}': Routed(i, dtype) for i in (1, 2, 3)
       for name, dtype in (('float32', torch.float32), ('bfloat16', torch.bfloat16))},
    'routed attention stage 2, heads of 64, float32': Routed(2, torch.float32, 64),
    'routed attention stage 2, heads of 64, bfloat16': Routed(2, torch.bfloat16, 64),
}


def compiled(kernel: Any, arguments: dict[str, Any], warps: int, capability: int) -> Any:
    """The kernel for these arguments and ``sm_<capability>``, specialised as a launch would be."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    signature, constants, attributes = {}, {}, {}
    for index, (name, parameter) in enumerate(zip(kernel.arg_names, kernel.params)):
        value = arguments[name]
        if parameter.is_constexpr or (isinstance(value, int) and value == 1):
            signature[name], constants[name] = 'constexpr', value
            continue
        if isinstance(value, torch.Tensor):
            signature[name] = TYPES[value.dtype]
        else:
            signature[name] = 'fp32' if isinstance(value, float) else 'i32'
        if not isinstance(value, float) and (isinstance(value, torch.Tensor) or value % 16 == 0):
            attributes[(index, )] = [['tt.divisibility', 16]]
    source = ASTSource(kernel, signature, constants, attributes)
    return triton.compile(source, target=GPUTarget('cuda', capability, 32),
                          options={'num_warps': warps})


def resources(cubin: bytes) -> tuple[int, int]:
    """Registers and bytes of memory (spills, arrays) of a thread, as ``cuobjdump`` says."""
    import triton
    tool = Path(triton.__file__).parent / 'backends/nvidia/bin/cuobjdump'
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, 'kernel.cubin')
        file.write_bytes(cubin)
        text = subprocess.run([tool, '-res-usage', file], check=True, capture_output=True,
                              text=True).stdout
    numbers = dict(word.split(':') for word in text.split() if word.count(':') == 1 and word[-1] != ':')
    return int(numbers['REG']), int(numbers['STACK']) + int(numbers['LOCAL'])


HEADER = ('| case | kernel | target | warps | registers a thread | spilled bytes a thread | '
          'shared memory bytes |\n|---|---|---|--:|--:|--:|--:|')
HEADING = """# Triton kernels

Made by `python tools/benchmarks/triton_kernels.py`: every kernel compiled ahead of time for an NVIDIA
device of compute capability 8.0 (A100) and 9.0 (H100, H200). **No GPU has run them yet.** Their results
are held equal to the plain paths by Triton's interpreter on CPU tensors
(`tests/ops/test_triton_kernels.py`); speed and memory on a GPU are not measured. So they are off by default:
`MMEXT_TRITON=1` or the argument `triton=True` turns them on. Where Triton is not importable, on a CPU, in
double precision, under `torch.compile` and in every export the plain path runs, with the same results.
"""


def main() -> int:
    """Compile and print the table."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--cases', default='*', help='pattern of the cases')
    parser.add_argument('--targets', type=int, nargs='+', default=[80, 90], metavar='CAPABILITY')
    parser.add_argument('--out', type=Path, help='Markdown file to write')
    args = parser.parse_args()
    chosen = fnmatch.filter(CASES, args.cases)
    if not chosen:
        parser.error(f'--cases {args.cases}: none of {", ".join(CASES)}')
    try:
        import triton
    except ImportError as error:
        print(f"Triton cannot be imported ({error}); pip install 'mmext[triton]' brings it", file=sys.stderr)
        return 2
    lines = [f'triton {triton.__version__}, torch {torch.__version__}', '', HEADER]
    print('\n'.join(lines), flush=True)
    spills = 0
    for name in chosen:
        for kernel, arguments, warps in CASES[name].launches():
            for target in args.targets:
                binary = compiled(kernel, arguments, warps, target)
                registers, spilled = resources(binary.asm['cubin'])
                spills += spilled
                variant = ', ratios' if arguments.get('RATIO') else ''
                lines.append(f'| {name} | `{kernel.__name__}`{variant} | sm_{target} | {warps} | '
                             f'{registers} | {spilled} | {binary.metadata.shared} |')
                print(lines[-1], flush=True)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        temporary = args.out.with_suffix('.tmp')
        temporary.write_text(HEADING + '\n' + '\n'.join(lines) + '\n')
        os.replace(temporary, args.out)
    return 1 if spills else 0


if __name__ == '__main__':
    sys.exit(main())
