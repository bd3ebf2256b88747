"""Convert an official checkpoint to mmext's names and arguments."""
from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import hosts
from ..errors import UserError
from ._common import run_command

if TYPE_CHECKING:
    from torch import Tensor

    from ..converters import Converter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mmext convert``."""
    from ..converters import methods
    parser.add_argument('method', help=f'the method: {", ".join(methods())}')
    parser.add_argument('checkpoint', help="the authors' file (.pth or .safetensors)")
    parser.add_argument('out', help='file to write (.pth or .safetensors)')
    parser.add_argument('--constructor', help='official class or function that the file belongs to; '
                        'by default the published variant that fits')
    parser.add_argument('--args', help='arguments of the official constructor: a JSON object or file')
    parser.add_argument('--target', help='what to make, where there is a choice, for example '
                        'classifier or backbone')
    parser.add_argument('--force', action='store_true', help='overwrite an existing file')
    parser.add_argument('--verbose', action='store_true', help='list every renamed key')
    parser.add_argument('--trust-checkpoint', action='store_true',
                        help='read a file that would run code; only if you know its origin')


def _official_args(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        source = Path(text).read_text() if os.path.isfile(text) else text
        args = json.loads(source)
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f'--args: neither a JSON object nor a file that holds one ({error})') from None
    if not isinstance(args, dict):
        raise UserError(f'--args: expected a JSON object, got {type(args).__name__}')
    return args


def misfit(cfg: Mapping[str, Any], state: Mapping[str, Tensor]) -> str | None:
    """Why ``state`` does not load strictly into what ``cfg`` builds, or None if it does."""
    from ..engine.meta import on_meta
    from ..registry import MODELS
    with on_meta():
        wanted = MODELS.build(dict(cfg)).state_dict()
    for key, value in wanted.items():
        if key not in state:
            return f'{key} is missing'
        if state[key].shape != value.shape:
            return f'{key} is {tuple(state[key].shape)}, expected {tuple(value.shape)}'
    extra = next((key for key in state if key not in wanted), None)
    return f'{extra} is too much' if extra else None


def detect(converter: Converter, state: Mapping[str, Tensor], target: str | None) -> list[str]:
    """The published constructors whose models take ``state``."""
    found = []
    for constructor in converter.constructors:
        try:
            cfg, converted = converter.convert({}, state, constructor, target)
            if misfit(cfg, converted) is None:
                found.append(constructor)
        except (UserError, LookupError, TypeError, ValueError):
            continue  # not this one: other keys, or it has no defaults
    return found


def run(args: argparse.Namespace) -> int:
    """Convert one file and print the config that it belongs to."""
    out = Path(args.out)
    if out.suffix not in ('.pth', '.safetensors'):
        raise UserError(f'{out}: write to a .pth or .safetensors file')
    if out.exists() and not args.force:
        raise UserError(f'{out} exists; --force overwrites it')
    official_args = _official_args(args.args)
    hosts.repair(args.trust_checkpoint)

    from ..converters import ConversionReport, converter_for
    from ..engine.checkpoint import load_state, write_weights
    converter = converter_for(args.method)
    state = load_state(args.checkpoint, trust=args.trust_checkpoint)
    constructor = args.constructor
    if constructor is None and not official_args:
        fitting = detect(converter, state, args.target)
        if not fitting:
            raise UserError(
                f'{args.checkpoint} fits no published variant of {args.method}. Say what it is with '
                f'--constructor (one of {", ".join(converter.constructors)}) and --args.')
        constructor = fitting[0]
        others = f' (its weights also fit {", ".join(fitting[1:])})' if fitting[1:] else ''
        print(f'{args.checkpoint}: {constructor}{others}')
    report = ConversionReport()
    cfg, converted = converter.convert(official_args, state, constructor, args.target, report)
    wrong = misfit(cfg, converted)
    if wrong:
        raise UserError(f'{args.checkpoint} is not of {constructor or converter.constructors[0]} '
                        f'with these arguments: {wrong}')
    write_weights(converted, out)
    print(report if args.verbose else str(report).splitlines()[0])
    print(f'wrote {out}\nmodel = {_pretty(cfg)}')
    return 0


def _pretty(cfg: dict[str, Any]) -> str:
    from mmengine.config import Config
    return Config(dict(model=cfg)).pretty_text.removeprefix('model = ').strip()


def main(argv: Sequence[str] | None = None) -> int:
    """``mmext convert``."""
    return run_command(__name__, argv)
