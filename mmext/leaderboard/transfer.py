"""Records between stores: as JSON, or from another store's file."""
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from .record import Record, from_dict, to_dict
from .store import Store

FORMAT, VERSION = 'mmext leaderboard', 1


def to_json(records: Sequence[Record]) -> str:
    """Everything in ``records``, pictures and answers of servers too."""
    return json.dumps(dict(format=FORMAT, version=VERSION, records=[to_dict(one) for one in records]),
                      indent=1, ensure_ascii=False) + '\n'


def read_records(path: Path) -> list[Record]:
    """The records of a JSON file that was exported, or of another store.

    Raises:
        UserError: If it is neither, is damaged, or is of a newer version.
    """
    if not path.is_file():
        raise UserError(f"import: there is no file '{path}'")
    with path.open('rb') as file:
        start = file.read(16)
    if start.startswith(b'SQLite format 3'):
        return Store(path).records()
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise UserError(f'{path}: neither a leaderboard nor JSON ({error})') from None
    if not isinstance(content, dict) or content.get('format') != FORMAT:
        raise UserError(f"{path}: expected what 'mmext leaderboard export FILE.json' writes, an object with "
                        f"'format': '{FORMAT}'")
    version = content.get('version')
    if not isinstance(version, int) or version > VERSION:
        raise UserError(f'{path}: was written by a newer mmext (its format is {version}, this one reads up '
                        f'to {VERSION}). Update mmext.')
    rows = content.get('records')
    if not isinstance(rows, list):
        raise UserError(f"{path}: 'records' must be a list")
    return [from_dict(row, f'{path}, record {number}') for number, row in enumerate(rows, 1)]
