"""Make a checkpoint of a training small and safe to give away: its weights alone."""
from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

from .. import hosts
from ..errors import UserError, did_you_mean
from ._common import run_command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('checkpoint', help='what training wrote (.pth)')
    parser.add_argument('out', help='file to write: .safetensors (safe and fast to load) or .pth; eight '
                        'digits of its SHA-256 go into its name')
    parser.add_argument('--ema', action='store_true',
                        help='the averaged weights of an EMAHook, not the last ones')
    parser.add_argument('--student', action='store_true',
                        help="of a distillation: the student's weights, as its own config loads them")
    parser.add_argument('--part', metavar='NAME',
                        help="one part alone, without its name before the keys: 'backbone' for a host's "
                        'backbone that loads files of its own')
    parser.add_argument('--half', action='store_true', help='in half precision')
    parser.add_argument('--trust-checkpoint', action='store_true',
                        help='read a checkpoint even if that runs code from it')


def run(args: argparse.Namespace) -> int:
    """Write the file and print its name and size; returns 0."""
    from ..engine.checkpoint import load_file, load_state, write_weights

    source, out = Path(args.checkpoint), Path(args.out)
    if out.suffix not in ('.pth', '.safetensors'):
        raise UserError(f'{out}: write to a .pth or .safetensors file')
    hosts.repair(args.trust_checkpoint)
    content = load_file(source, 'cpu', trust=args.trust_checkpoint)
    if args.ema:
        # EMAHook exchanges the two when it saves: 'state_dict' has the averages.
        if 'ema_state_dict' not in content:
            raise UserError(f'{source} has no averaged weights: it was trained without an EMAHook')
        state = load_state(source, trust=args.trust_checkpoint)
    elif 'ema_state_dict' in content:
        state = {key.removeprefix('module.'): value for key, value in content['ema_state_dict'].items()
                 if key != 'steps'}
    else:
        state = load_state(source, trust=args.trust_checkpoint)
    if args.student:
        prefix = 'student.'
        student = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if not student:
            raise UserError(f'{source} has no student: it is not of a mmext.Distiller')
        state = student
    if args.part:
        names = list(dict.fromkeys(key.split('.')[0] for key in state))
        state = {key.removeprefix(f'{args.part}.'): value for key, value in state.items()
                 if key.startswith(f'{args.part}.')}
        if not state:
            raise UserError(f"{source} has no part '{args.part}'{did_you_mean(args.part, names)} (it has "
                            f'{", ".join(names)})')
    if args.half:
        state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    meta = content.get('meta') or {}
    about = {key: str(meta[key]) for key in ('epoch', 'iter', 'experiment_name', 'mmengine_version', 'seed')
             if key in meta}
    write_weights(state, out, about)
    digest = hashlib.sha256(out.read_bytes()).hexdigest()[:8]
    published = out.replace(out.with_name(f'{out.stem}-{digest}{out.suffix}'))
    before, after = source.stat().st_size / 2**20, published.stat().st_size / 2**20
    print(f'wrote {published}: {len(state)} tensors, {after:.1f} MiB instead of {before:.1f} MiB')
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """``mmext publish``."""
    return run_command(__name__, argv)
