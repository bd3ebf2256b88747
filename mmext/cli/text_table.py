"""Embed class names once and keep them in a file, for models that take text (mmext.TextTable)."""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from ._common import run_command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('names', nargs='*', metavar='NAME', help='class names or sentences')
    parser.add_argument('--dataset', metavar='TYPE',
                        help="the classes of a data set, for example mmdet.CocoDataset")
    parser.add_argument('--file', type=Path, help='a text file with one name per line')
    parser.add_argument('--model', default='minilm',
                        help="hub id or folder of a transformers model; 'minilm' is all-MiniLM-L6-v2 from a "
                        'package (default)')
    parser.add_argument('--pooling', choices=['clip', 'cls', 'mean'], default='mean',
                        help='clip for CLIP, cls or mean for BERT-like models (default: %(default)s)')
    parser.add_argument('--template', nargs='+', default=['{}'],
                        help="sentences around a name, for example 'a photo of a {}'; several are averaged")
    parser.add_argument('--no-normalize', action='store_true',
                        help='keep the length of the embeddings, as METR does')
    parser.add_argument('--embeddings', type=Path, metavar='FILE',
                        help='take these (K, D) numbers, .npy, in the place of a model: the files that '
                        'authors publish')
    parser.add_argument('--out', type=Path, required=True, help='the file to write, .safetensors')


def _names(args: argparse.Namespace) -> list[str]:
    names = list(args.names)
    if args.dataset:
        from ..datasets.class_names import dataset_classes
        names += dataset_classes(args.dataset)
    if args.file is not None:
        try:
            names += [line.strip() for line in args.file.read_text(encoding='utf-8').splitlines()
                      if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f'--file {args.file}: {error}') from None
    if not names:
        raise UserError('no names: write them, or use --dataset or --file')
    return list(dict.fromkeys(names))


def run(args: argparse.Namespace) -> int:
    """Embed and write.

    Raises:
        UserError: If there are no names, the model cannot be loaded, or the numbers do not fit.
    """
    from ..models.language import TextEncoder, write_table
    names = _names(args)
    if args.embeddings is not None:
        import numpy as np
        import torch
        try:
            embeddings = torch.from_numpy(np.load(args.embeddings, allow_pickle=False)).float()
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f'--embeddings {args.embeddings}: {error}') from None
        source = args.embeddings.name
    else:
        try:
            encoder = TextEncoder(args.model, args.pooling, not args.no_normalize, args.template)
        except ValueError as error:
            raise UserError(str(error)) from None
        embeddings = encoder.embed(names)
        source = f'{args.model}, {args.pooling}, {args.template}'
    write_table(args.out, names, embeddings, source)
    print(f'wrote {args.out}: {len(names)} texts, {embeddings.shape[1]} numbers each')
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """``mmext text-table``."""
    return run_command(__name__, argv)
