"""Write the word embeddings of a BERT as a word table, for mmext.WordEmbeddings and mmext.LoadCaption."""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmext.cli._common import run_command
from mmext.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('--model', default='bert-base-uncased',
                        help="hub id or folder of a BERT, or 'minilm', from a package "
                        '(default: %(default)s)')
    parser.add_argument('--texts', type=Path,
                        help='keep only the tokens of this text file (a small table for small data)')
    parser.add_argument('--out', type=Path, required=True, help='the file to write, .safetensors')


def run(args: argparse.Namespace) -> int:
    """Write the table.

    Raises:
        UserError: If the model or the text file cannot be read.
    """
    from mmext.models.language.word_embeddings import make_word_table
    try:
        texts = None if args.texts is None else args.texts.read_text('utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'--texts {args.texts}: {error}') from None
    count = make_word_table(args.model, args.out, texts)
    print(f'wrote {args.out}: {count} tokens')
    return 0


if __name__ == '__main__':
    sys.exit(run_command(__name__))
