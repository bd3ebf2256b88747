"""Draw samples of a config's data with their ground truth, through its own pipeline.

Writes a picture per sample and contact_sheet.png, all of them at a glance.
"""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ._common import add_config_arguments, run_command
from .config import load_config

if TYPE_CHECKING:
    import numpy as np

_PER_SHEET = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config_arguments(parser)
    parser.add_argument('--out-dir', '--output-dir', type=Path, default=Path('browse'),
                        help='where pictures go (default: %(default)s)')
    parser.add_argument('-p', '--phase', choices=['train', 'val', 'test'], default='train',
                        help='whose data (default: %(default)s)')
    parser.add_argument('-n', '--show-number', type=int, default=16,
                        help='how many samples, evenly spaced (default: %(default)s)')
    parser.add_argument('-m', '--mode', default='transformed',
                        choices=['original', 'transformed', 'concat', 'pipeline'],
                        help='as annotated, as the model sees it, both, or after every step '
                             '(default: %(default)s)')
    parser.add_argument('-c', '--channel-order', choices=['BGR', 'RGB'], default='BGR',
                        help="of the pipeline's pictures; RGB if it goes through PIL "
                             '(default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0,
                        help='of the augmentations (default: %(default)s)')


def run(args: argparse.Namespace) -> int:
    """Draw the samples.

    Returns:
        0.

    Raises:
        UserError: If the config or its data cannot be read, or nothing is left to draw.
    """
    if args.show_number < 1:
        raise UserError(f'--show-number {args.show_number}: expected 1 or more')
    cfg = load_config(args.config, args.cfg_options)
    from .. import hosts
    hosts.repair()
    from mmengine.registry import DefaultScope
    from rich.console import Console
    from rich.progress import track

    from ..apis.browsing import Browser, contact_sheet, thumbnail
    from ..apis.model import quiet_hosts
    from ..apis.writers import write_image
    drawn = 0
    sheet: list[tuple[str, np.ndarray]] = []

    def write_sheet() -> None:
        several = f'_{-(-drawn // _PER_SHEET)}' if args.show_number > _PER_SHEET else ''
        write_image(args.out_dir / f'contact_sheet{several}.png', contact_sheet(sheet))
        sheet.clear()

    scope = cfg.get('default_scope', 'mmengine')
    with quiet_hosts(), DefaultScope.overwrite_default_scope(scope):
        browser = Browser(cfg, args.phase, rgb=args.channel_order == 'RGB')
        views = browser.views(args.mode, args.show_number, args.seed)
        total = min(args.show_number, len(browser.dataset))
        console = Console(stderr=True)
        for view in track(views, args.phase, total=total, transient=True, console=console,
                          disable=not console.is_terminal):
            stem = Path(view.name).stem
            write_image(args.out_dir / f'{view.index:06d}_{stem}.jpg', view.picture)
            sheet.append((stem, thumbnail(view.picture)))
            drawn += 1
            if len(sheet) == _PER_SHEET:
                write_sheet()
        if sheet:
            write_sheet()
    if not drawn:
        raise UserError(f'the {args.phase} pipeline rejects every sample that was tried')
    print(f'{drawn} samples drawn in {args.out_dir}')
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see :func:`mmext.cli._common.run_command`."""
    return run_command(__name__, argv)
