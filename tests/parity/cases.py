"""Golden cases: tensors made with the authors' code, and how to compare with them.

``MMEXT_GOLDENS=DIR`` points the tests at another directory of cases: ``DIR/METHOD/*.json``, or DIR
itself holding the cases of a method.
"""
from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mmext.converters import converter_for, methods

OWN_GOLDENS = Path(__file__).parents[1] / 'goldens'


@dataclass(frozen=True)
class Case:
    """One case: ``NAME.json`` (how it was made) beside ``NAME.safetensors``."""

    method: str
    path: Path

    def __str__(self) -> str:
        return f'{self.method}-{self.path.stem}'

    @cached_property
    def spec(self) -> dict[str, Any]:
        return json.loads(self.path.read_text())

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        return load_file(self.path.with_suffix('.safetensors'))

    def _group(self, name: str) -> dict[str, Tensor]:
        prefix = f'{name}.'
        return {key.removeprefix(prefix): value for key, value in self.tensors.items()
                if key.startswith(prefix)}

    @property
    def constructor(self) -> str:
        """The official class or function, without its module path and what is said about it."""
        name = self.spec.get('constructor') or self.spec.get('module', 'none')
        return name.split('(')[0].rsplit('.', 1)[-1].split()[0]

    @property
    def args(self) -> dict[str, Any]:
        return self.spec.get('config') or self.spec.get('args') or {}

    @property
    def inputs(self) -> dict[str, Tensor]:
        return self._group('input')

    @property
    def outputs(self) -> dict[str, Tensor]:
        return self._group('output')

    def state(self, shapes: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The official state dict: stored here or in another case, or made by the recipe.

        Args:
            shapes: A state dict with the official keys and shapes, for the recipe.
        """
        if 'state_from' in self.spec:
            return Case(self.method, self.path.with_stem(self.spec['state_from']))._group('state')
        if 'weights_recipe' in self.spec:
            gain = self.spec.get('gain', 1.0)
            return {key: recipe(key, value, gain) for key, value in shapes.items()}
        return self._group('state')

    def check(self, actual: Mapping[str, Tensor]) -> None:
        """Assert that ``actual`` has every output of the case, equal within its tolerance."""
        expected = self.outputs
        missing = set(expected) - set(actual)
        assert expected and not missing, f'{self}: not compared: {sorted(missing)}'
        tolerance = self.spec['tolerance']
        relative_to_max = 'max|b|' in tolerance.get('meaning', '')
        for name, reference in expected.items():
            value = actual[name].detach()
            if 'channel_subsampling' in self.spec and name.startswith('stage'):
                value = value[:, ::value.shape[1] // 16]
            assert value.shape == reference.shape, f'{self}: {name} has shape {tuple(value.shape)}'
            if not reference.is_floating_point():
                assert torch.equal(value, reference), f'{self}: {name} differs'
                continue
            error = (value.double() - reference.double()).abs()
            scale = reference.double().abs()
            allowed = (tolerance['atol'] * scale.max() if relative_to_max else
                       tolerance['atol'] + tolerance['rtol'] * scale)
            excess = (error - allowed).max()
            assert excess <= 0, (f'{self}: {name} is off by up to {error.max():.3g}, allowed '
                                 f'{torch.as_tensor(allowed).max():.3g}')


def recipe(key: str, like: Tensor, gain: float) -> Tensor:
    """A weight of a full-size case, from its official key and shape (see ``weights_recipe``)."""
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    shape = like.shape
    if not like.is_floating_point():
        return torch.zeros_like(like)
    if key.endswith('running_mean'):
        return 0.1 * torch.randn(shape, generator=generator)
    if key.endswith('running_var'):
        return torch.rand(shape, generator=generator) + 0.5
    if 'gamma' in key.rsplit('.', 1)[-1]:
        return torch.rand(shape, generator=generator) + 0.5
    if like.ndim <= 1:
        if key.endswith('bias'):
            return 0.1 * torch.randn(shape, generator=generator)
        return torch.rand(shape, generator=generator) + 0.5
    return gain * torch.randn(shape, generator=generator) / (like.numel() / shape[0])**0.5


def _directory(method: str) -> Path | None:
    """Where the cases of a method are, under MMEXT_GOLDENS or in the repository."""
    elsewhere = os.environ.get('MMEXT_GOLDENS')
    if not elsewhere:
        return OWN_GOLDENS / method
    root = Path(elsewhere).expanduser().resolve()
    if not root.is_dir():
        raise pytest.UsageError(f'MMEXT_GOLDENS={elsewhere}: no such directory')
    if (root / method).is_dir():
        return root / method
    if root.name == method:
        return root
    known = converter_for(method).constructors if method in methods() else ()
    for path in root.glob('*.json'):
        if Case(method, path).constructor in known:
            return root
    return None


def cases(method: str) -> list[Any]:
    """Parameters for ``pytest.mark.parametrize('case', ...)``, one for each case of a method.

    A method whose own goldens are gone fails; one that MMEXT_GOLDENS does not cover is skipped.
    """
    directory = _directory(method)
    paths = sorted(directory.glob('*.json')) if directory else []
    if paths:
        return [pytest.param(Case(method, path), id=f'{method}-{path.stem}') for path in paths]
    if 'MMEXT_GOLDENS' in os.environ:
        skip = pytest.mark.skip(reason=f'MMEXT_GOLDENS has no case of {method}')
        return [pytest.param(None, id=f'{method}-none', marks=skip)]
    raise pytest.UsageError(f'no golden case of {method} in {directory}')
