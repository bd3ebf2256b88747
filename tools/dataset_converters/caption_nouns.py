"""Add the object nouns of every caption to a COCO caption file, once, so that training needs no NLP.

The nouns are looked for in a given list: whole words, singular or plural, and common other words for
the classes of COCO. A caption with none of them keeps an empty list; how many have none is printed.
"""
from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from mmext.cli._common import run_command
from mmext.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('captions', type=Path, help='COCO caption file')
    parser.add_argument('--classes', nargs='+', default=[], metavar='NOUN', help='nouns to look for')
    parser.add_argument('--instances', type=Path, help='take the categories of this COCO file as nouns')
    parser.add_argument('--file', type=Path,
                        help='a text file: a noun per line, after tabs other words for it')
    parser.add_argument('--out', type=Path, required=True, help='the file to write')


def _nouns(args: argparse.Namespace) -> tuple[list[str], dict[str, str]]:
    from mmext.datasets.nouns import COCO_SYNONYMS
    nouns, synonyms = list(args.classes), dict(COCO_SYNONYMS)
    source = args.instances
    try:
        if args.instances is not None:
            nouns += [one['name'] for one in json.loads(args.instances.read_text('utf-8'))['categories']]
        source = args.file
        if args.file is not None:
            for line in args.file.read_text('utf-8').splitlines():
                noun, *others = line.strip().split('\t')
                if noun:
                    nouns.append(noun)
                    synonyms.update(dict.fromkeys(others, noun))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f'{source}: {type(error).__name__}: {error}') from None
    if not nouns:
        raise UserError('no nouns: give --classes, --instances or --file')
    return list(dict.fromkeys(nouns)), synonyms


def run(args: argparse.Namespace) -> int:
    """Write the file.

    Raises:
        UserError: If a file is not as expected or there are no nouns to look for.
    """
    from mmext.apis.writers import replacing
    from mmext.datasets.captions import read_captions
    from mmext.datasets.nouns import NounFinder
    nouns, synonyms = _nouns(args)
    read_captions(args.captions, nouns=False)
    content = json.loads(args.captions.read_text('utf-8'))
    find = NounFinder(nouns, synonyms)
    counts: Counter[str] = Counter()
    empty = 0
    for annotation in content['annotations']:
        annotation['nouns'] = find(annotation['caption'])
        counts.update(annotation['nouns'])
        empty += not annotation['nouns']
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(args.out) as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False), encoding='utf-8')
    print(f"wrote {args.out}: {len(content['annotations'])} captions, {empty} of them without a noun of "
          'the list')
    print('most frequent: ' + ', '.join(f'{noun} {count}' for noun, count in counts.most_common(10)))
    return 0


if __name__ == '__main__':
    sys.exit(run_command(__name__))
