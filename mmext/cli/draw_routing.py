"""Draw which regions of a picture attend to which, for networks with bi-level routing attention.

Writes a sheet per picture: a row for each layer, a column for each point. The region at the point has a
yellow frame; the regions it attends to are light.
"""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError, did_you_mean
from ._common import add_config_arguments, run_command

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help="weights (file or URL), or 'none': an untrained model")
    parser.add_argument('inputs', nargs='+', type=Path, metavar='image', help='pictures')
    parser.add_argument('--out-dir', type=Path, default=Path('routing'),
                        help='where sheets go (default: %(default)s)')
    parser.add_argument('--points', nargs='+', default=['0.25,0.5', '0.5,0.5', '0.75,0.5'],
                        metavar='X,Y', help="whose regions, as fractions of the picture's width and "
                        'height (default: three across the middle)')
    parser.add_argument('--layers', nargs='+',
                        help='for example stages.2.17.attn (default: the last of each stage)')
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: a GPU if there is one)')
    parser.add_argument('--trust-checkpoint', action='store_true',
                        help='read a checkpoint even if that runs code from it')


def _point(text: str) -> tuple[float, float]:
    try:
        x, y = (float(part) for part in text.split(','))
    except ValueError:
        raise UserError(f"--points '{text}': expected X,Y, for example 0.5,0.5") from None
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise UserError(f"--points '{text}': expected fractions from 0 to 1")
    return x, y


def _as_seen(images: Tensor, preprocessor: Any) -> np.ndarray:
    """The first of a batch as a BGR picture, its normalisation undone."""
    import cv2
    image = images[0].float().cpu()
    if hasattr(preprocessor, 'mean') and hasattr(preprocessor, 'std'):
        image = image * preprocessor.std.view(-1, 1, 1).cpu() + preprocessor.mean.view(-1, 1, 1).cpu()
    picture = image.clamp(0, 255).byte().permute(1, 2, 0).numpy()
    flags = ('_channel_conversion', 'channel_conversion', 'to_rgb')  # as the hosts call it
    swapped = any(getattr(preprocessor, name, False) for name in flags)
    return cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if swapped else picture.copy()


def _last_of_each_stage(names: Sequence[str]) -> list[str]:
    last: dict[tuple[str, ...], str] = {}
    for name in names:
        parts = name.split('.')
        at = parts.index('stages') + 2 if 'stages' in parts else len(parts)
        last[tuple(parts[:at])] = name
    return list(last.values())


def run(args: argparse.Namespace) -> int:
    """Draw the sheets.

    Returns:
        0.

    Raises:
        UserError: If the model has no such layer or a picture cannot be read.
    """
    points = [_point(text) for text in args.points]
    for path in args.inputs:
        if not path.is_file():
            siblings = [entry.name for entry in path.parent.glob('*')] if path.parent.is_dir() else []
            raise UserError(f'no such picture: {path}{did_you_mean(path.name, siblings)}')
    from .. import hosts
    hosts.repair(args.trust_checkpoint)
    from ..apis import Inferencer
    from ..apis.model import quiet_hosts
    from ..apis.writers import write_image
    from ..models.backbones.biformer import record_routing
    from ..models.backbones.biformer.base import FourStageBackbone
    from ..models.backbones.biformer.drawing import routing_sheet
    with quiet_hosts():
        inferencer = Inferencer(args.config, None if args.checkpoint == 'none' else args.checkpoint,
                                args.device, cfg_options=args.cfg_options,
                                trust_checkpoint=args.trust_checkpoint)
    backbone = next((module for module in inferencer.model.modules()
                     if isinstance(module, FourStageBackbone)), None)
    if backbone is None:
        raise UserError(f'{args.config}: its model has no BiFormer')
    seen: list[Tensor] = []
    handle = backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        for path in args.inputs:
            seen.clear()
            with record_routing(backbone) as routings, quiet_hosts():
                failed = next((one.error for one in inferencer(path) if one.error), None)
            if failed:
                raise UserError(f'{path}: {failed}')
            layers = args.layers or _last_of_each_stage(list(routings))
            for name in layers:
                if name not in routings:
                    raise UserError(f"the model has no routed layer '{name}'"
                                    f'{did_you_mean(name, routings)} (it has {", ".join(routings)})')
            sheet = routing_sheet(_as_seen(seen[0], inferencer.model.data_preprocessor),
                                  {name: routings[name] for name in layers}, points)
            out = args.out_dir / f'{path.stem}.png'
            write_image(out, sheet)
            print(f'wrote {out}')
    finally:
        handle.remove()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """``tools/analysis_tools/draw_routing.py``."""
    return run_command(__name__, argv)
