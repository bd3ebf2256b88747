"""What all converters share: rules for keys, a strict walk over them, and a report."""
from __future__ import annotations

import importlib
import pkgutil
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from ..errors import UserError, did_you_mean


@dataclass
class ConversionReport:
    """What became of every argument and key of the authors.

    Attributes:
        arguments: ``(official argument, what was done with it)`` for those not taken over as is.
        renamed: ``(official key, our key)``; equal where the name was kept.
        dropped: ``(official key, why it is not needed)``.
    """

    arguments: list[tuple[str, str]] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)
    dropped: list[tuple[str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        kept = sum(old == new for old, new in self.renamed)
        lines = [f'{kept} keys kept, {len(self.renamed) - kept} renamed, {len(self.dropped)} dropped']
        lines += [f'  {name}: {fate}' for name, fate in self.arguments]
        lines += [f'  {old} -> {new}' for old, new in self.renamed if old != new]
        lines += [f'  {key} dropped: {why}' for key, why in self.dropped]
        return '\n'.join(lines)


@dataclass(frozen=True)
class Rule:
    """Keys that match ``pattern`` (whole) are renamed to ``target``, or dropped for a ``reason``.

    Attributes:
        pattern: Regular expression.
        target: Replacement with ``\\1``-style groups; None drops the key.
        reason: Why a dropped key is not needed.
    """

    pattern: str
    target: str | None = None
    reason: str = ''


class Converter(ABC):
    """Base of the converters; a subclass per method, in a module named after the method.

    Subclasses set the class variables and write :meth:`config`; most need no more.
    """

    #: The method's name: its folder under ``configs/`` and its module's name here.
    method: ClassVar[str]
    #: Official classes and functions that can be converted, the usual one first.
    constructors: ClassVar[tuple[str, ...]]
    #: What can be made of them; the first is the default.
    targets: ClassVar[tuple[str, ...]] = ('model', )

    @abstractmethod
    def config(self, args: Mapping[str, Any], constructor: str, target: str,
               report: ConversionReport) -> dict[str, Any]:
        """The mmext config for the official ``args`` of ``constructor``."""

    @abstractmethod
    def rules(self, constructor: str, target: str) -> tuple[Rule, ...]:
        """How keys are named; the first rule that matches a key decides."""

    def convert(self,
                args: Mapping[str, Any],
                state: Mapping[str, Tensor],
                constructor: str | None = None,
                target: str | None = None,
                report: ConversionReport | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See :func:`convert`."""
        report = report if report is not None else ConversionReport()
        constructor = self._known('constructor', constructor, self.constructors)
        target = self._known('target', target, self.targets)
        cfg = self.config(args, constructor, target, report)
        rules = self.rules(constructor, target)
        converted: dict[str, Tensor] = {}
        unknown = []
        for key, value in state.items():
            rule = next((rule for rule in rules if re.fullmatch(rule.pattern, key)), None)
            if rule is None:
                unknown.append(key)
            elif rule.target is None:
                report.dropped.append((key, rule.reason))
            else:
                new = re.sub(rule.pattern, rule.target, key)
                if new in converted:
                    raise UserError(f'{self.method}: two official keys become {new}; the second is {key}')
                converted[new] = value
                report.renamed.append((key, new))
        if unknown:
            shown = ', '.join(unknown[:5]) + (f' and {len(unknown) - 5} more' if len(unknown) > 5 else '')
            raise UserError(f'{self.method}: {len(unknown)} of {len(state)} keys are not of '
                            f'{constructor}: {shown}')
        return cfg, converted

    def _known(self, what: str, name: str | None, names: tuple[str, ...]) -> str:
        """``name`` without its module path, or the default; a UserError if it is not of ours."""
        if name is None:
            return names[0]
        short = name.split('(')[0].rsplit('.', 1)[-1].strip()
        if short not in names:
            raise UserError(f"{self.method} converts no {what} '{short}'{did_you_mean(short, names)} "
                            f'It knows: {", ".join(names)}')
        return short


def take(args: Mapping[str, Any], known: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The official arguments completed with the official defaults ``known``.

    Raises:
        UserError: If there is an argument that ``what`` does not have.
    """
    for name in args:
        if name not in known:
            raise UserError(f"{what} has no argument '{name}'{did_you_mean(name, known)}")
    return {**known, **args}


def methods() -> list[str]:
    """Names of the methods that have a converter."""
    return sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])
                  if module.name != 'base')


def converter_for(method: str) -> Converter:
    """The converter of a method.

    Raises:
        UserError: If there is none; the message names the nearest.
    """
    if method not in methods():
        raise UserError(f"no converter for '{method}'{did_you_mean(method, methods())} "
                        f'There are: {", ".join(methods())}')
    module = importlib.import_module(f'{__package__}.{method}')
    found: Converter = module.CONVERTER
    return found


def convert(method: str,
            official_args: Mapping[str, Any],
            official_state: Mapping[str, Tensor],
            constructor: str | None = None,
            target: str | None = None,
            report: ConversionReport | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Turn the authors' arguments and weights into an mmext config and state.

    Strict: an argument or key that the official class does not have raises; every key ends up in
    the state or in the report.

    Args:
        method: Name of the method, for example ``'emov2'``.
        official_args: Arguments of the official constructor; those left out have its defaults.
        official_state: Its state dict, may be empty.
        constructor: Official class or function, with or without its module path; by default the
            method's usual one.
        target: What to make, where there is a choice (``'classifier'`` or ``'backbone'``).
        report: Filled with what became of every argument and key.

    Returns:
        A config for ``mmext.registry.MODELS.build`` and the state for a strict ``load_state_dict``
        of what it builds.

    Raises:
        UserError: If something is not of this method; the message names it and the nearest.

    Example:
        >>> cfg, state = convert('emov2', {}, {}, constructor='EMO2_1M_k5_hybrid')
        >>> cfg['backbone']['type']
        'mmext.EMOv2'
    """
    return converter_for(method).convert(official_args, official_state, constructor, target, report)
