"""What of a checkpoint fits a model, in words."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from torch import Tensor

from ...errors import nearest


@dataclass(frozen=True)
class Fit:
    """How the weights in a file fit a model.

    Attributes:
        missing: Keys of the model that the file lacks.
        unexpected: Keys of the file that the model lacks.
        shapes: Keys in both with the file's and the model's shape, where these differ.
        loaded: Number of keys that fit.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    shapes: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    loaded: int

    @property
    def whole(self) -> bool:
        """Every key fits."""
        return not (self.missing or self.unexpected or self.shapes)

    def __str__(self) -> str:
        lines = [f'{self.loaded} of {self.loaded + len(self.missing) + len(self.shapes)} weights fit']
        lines += [f'  {name}: {_shape(file)} in the file, {_shape(model)} in the model'
                  for name, file, model in self.shapes[:8]]
        if self.shapes[8:]:
            lines.append(f'  ... {len(self.shapes) - 8} more of another shape')
        lines += [f'  not in the file:  {line}' for line in _grouped(self.missing)]
        lines += [f'  not in the model: {line}' for line in _grouped(self.unexpected)]
        if self.missing and self.unexpected:
            twin = nearest(self.missing[0], self.unexpected)
            if twin:
                lines.append(f"  ('{self.missing[0]}' may be the file's '{twin[0]}')")
        return '\n'.join(lines)


def _shape(shape: tuple[int, ...]) -> str:
    return f'({", ".join(map(str, shape))})'


def _grouped(keys: Iterable[str], most: int = 8) -> list[str]:
    """Keys by the module they belong to, two levels deep."""
    groups = [(prefix, list(members))
              for prefix, members in groupby(sorted(keys), lambda key: '.'.join(key.split('.')[:2]))]
    lines = [members[0] if len(members) == 1 else f'{prefix}.* ({len(members)} keys)'
             for prefix, members in groups]
    return lines[:most] + ([f'... {len(lines) - most} more modules'] if lines[most:] else [])


def compare(model: Mapping[str, Tensor], file: Mapping[str, Tensor]) -> Fit:
    """Compare two state dicts.

    Args:
        model: What the model has.
        file: What the checkpoint has; a leading ``module.`` (left by DDP) does not count.
    """
    file = {key.removeprefix('module.'): value for key, value in file.items()}
    shapes = tuple((key, tuple(file[key].shape), tuple(model[key].shape)) for key in model
                   if key in file and file[key].shape != model[key].shape)
    missing = tuple(key for key in model if key not in file)
    return Fit(missing=missing, unexpected=tuple(key for key in file if key not in model), shapes=shapes,
               loaded=len(model) - len(missing) - len(shapes))
