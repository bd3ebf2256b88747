"""The SQLite file that records are kept in.

Every record is one transaction, so a process that dies leaves all of it or nothing, and writers wait
for each other. The rollback journal is used and not the write-ahead log: the latter needs memory that
all writers share, which a cluster's network file system does not have. Nothing is ever updated or
deleted: a run of a name that is there already gets a record beside the others.
"""
from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ..errors import UserError, did_you_mean
from .record import Picture, Record, Submission, plain

VARIABLE = 'MMEXT_LEADERBOARD'
DEFAULT = Path('work_dirs') / 'leaderboard.sqlite'
#: What a newer version of this file must raise, if older programs would misread it.
VERSION = 1
#: 'mmex', by which SQLite's header tells our files from others'.
APPLICATION = 0x6d6d6578
_HEADER = b'SQLite format 3\0'
_WAIT = 60.  # seconds for other writers

_COLUMNS = ('run', 'dataset', 'phase', 'config', 'checkpoint', 'checkpoint_digest', 'epoch', 'iteration',
            'images', 'seconds', 'parameters', 'flops', 'input_size', 'latency_ms', 'memory_mb',
            'work_dir', 'date', 'uid')
_JSON = ('metrics', 'published', 'per_class', 'environment')
_SCHEMA = """
CREATE TABLE configs (digest TEXT PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE records (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE, run TEXT NOT NULL,
    date TEXT NOT NULL, dataset TEXT NOT NULL, phase TEXT NOT NULL, config TEXT NOT NULL,
    config_digest TEXT NOT NULL REFERENCES configs (digest), checkpoint TEXT NOT NULL,
    checkpoint_digest TEXT NOT NULL, metrics TEXT NOT NULL, published TEXT NOT NULL,
    per_class TEXT NOT NULL, environment TEXT NOT NULL, epoch INTEGER, iteration INTEGER,
    images INTEGER, seconds REAL, parameters INTEGER, flops INTEGER, input_size TEXT NOT NULL,
    latency_ms REAL, memory_mb REAL, work_dir TEXT NOT NULL);
CREATE INDEX records_run ON records (run);
CREATE TABLE pictures (
    record INTEGER NOT NULL REFERENCES records (id), name TEXT NOT NULL, score REAL NOT NULL,
    best INTEGER NOT NULL, jpeg BLOB NOT NULL);
CREATE INDEX pictures_record ON pictures (record);
CREATE TABLE submissions (
    record INTEGER NOT NULL REFERENCES records (id), server TEXT NOT NULL, date TEXT NOT NULL,
    archive TEXT NOT NULL, digest TEXT NOT NULL, answer_name TEXT NOT NULL, answer BLOB NOT NULL);
CREATE INDEX submissions_record ON submissions (record);
"""


def location(path: str | os.PathLike | None = None) -> Path:
    """Where the store is: as said, as ``MMEXT_LEADERBOARD`` says, or ``work_dirs/leaderboard.sqlite``."""
    return Path(path or os.environ.get(VARIABLE) or DEFAULT)


class Store:
    """A leaderboard's file; opened for each call, so that no lock is held between them.

    Args:
        path: See :func:`location`. The file is made when the first record is added.

    Raises:
        UserError: By each method, if the file is not a leaderboard, is damaged, was written by a newer
            mmext or cannot be written. It is left as it is then.
    """

    def __init__(self, path: str | os.PathLike | None = None) -> None:
        self.path = location(path)

    # ------------------------------------------------------------------------------------ opening

    def check(self, writable: bool = False) -> None:
        """Raise what opening the store would raise.

        Args:
            writable: Records are to be added.
        """
        if self.exists:
            with self._open():
                pass
        if not writable:
            return
        folder = next(one for one in self.path.absolute().parents if one.exists())
        target = self.path if self.path.exists() else folder
        if not folder.is_dir() or not os.access(target, os.W_OK):
            raise UserError(f"leaderboard: '{self.path}' cannot be written; say where it shall be with "
                            f'{VARIABLE}, or leave the record out with --no-leaderboard')

    @property
    def exists(self) -> bool:
        """Whether there is a file with something in it (SQLite makes an empty one first)."""
        return self.path.exists() and (self.path.is_dir() or self.path.stat().st_size > 0)

    def _refuse(self, why: str, what: str) -> UserError:
        return UserError(f"leaderboard '{self.path}' {why}\nIt was left as it is. {what}")

    def _damaged(self, detail: object) -> UserError:
        return self._refuse(f'is damaged ({detail})',
                            f'Put a copy of it back, or move it away; {VARIABLE} names another place.')

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection to the checked file; errors of SQLite become ours."""
        if self.path.is_dir():
            raise UserError(f"leaderboard: '{self.path}' is a folder, expected a file")
        if self.exists:
            with self.path.open('rb') as file:
                # Zeros: another process is making the file, its first page comes last.
                if file.read(len(_HEADER)) not in (_HEADER, bytes(len(_HEADER))):
                    raise self._damaged('no SQLite file')
        try:
            with closing(sqlite3.connect(self.path, timeout=_WAIT, isolation_level=None)) as connection:
                connection.execute('PRAGMA foreign_keys = ON')
                connection.execute('PRAGMA synchronous = FULL')
                self._check_kind(connection)
                yield connection
        except sqlite3.OperationalError as error:
            if 'no such' in str(error) or 'malformed' in str(error):
                raise self._damaged(error) from None
            raise UserError(f"leaderboard '{self.path}': {error}; another place can be named by "
                            f'{VARIABLE}') from None
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from None

    def _check_kind(self, connection: sqlite3.Connection) -> None:
        connection.execute('BEGIN')  # one state of the file for all three
        tables = connection.execute('SELECT count(*) FROM sqlite_master').fetchone()[0]
        kind = connection.execute('PRAGMA application_id').fetchone()[0]
        version = connection.execute('PRAGMA user_version').fetchone()[0]
        connection.execute('COMMIT')
        if kind != APPLICATION:
            if not (kind or version or tables):
                return  # new, or another process is about to make it
            raise self._refuse('is a database of another program', f'{VARIABLE} names another place.')
        if version > VERSION:
            raise self._refuse(f'was written by a newer mmext (its format is {version}, this one reads up '
                               f'to {VERSION})', 'Update mmext.')
        problem = connection.execute('PRAGMA quick_check(1)').fetchone()[0]
        if problem != 'ok':
            raise self._damaged(problem)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction; makes the file and its tables if they are not there."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"leaderboard: cannot make '{self.path.parent}': {error.strerror}") from None
        with self._open() as connection:
            connection.execute('BEGIN IMMEDIATE')
            try:
                if not connection.execute('PRAGMA user_version').fetchone()[0]:
                    for statement in filter(str.strip, _SCHEMA.split(';')):
                        connection.execute(statement)
                    connection.execute(f'PRAGMA application_id = {APPLICATION}')
                    connection.execute(f'PRAGMA user_version = {VERSION}')
                yield connection
                connection.execute('COMMIT')
            except BaseException:
                if connection.in_transaction:
                    connection.execute('ROLLBACK')
                raise

    # ------------------------------------------------------------------------------------ writing

    def add(self, record: Record) -> Record:
        """Keep a record.

        Returns:
            It, with its number.
        """
        with self._writing() as connection:
            return _insert(connection, record)

    def add_all(self, records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
        """Keep those of ``records`` that are not here yet, all or none of them.

        Returns:
            The new ones and those that were here, by their ``uid``, which stay as they are.
        """
        new, known = [], []
        with self._writing() as connection:
            for record in records:
                there = connection.execute('SELECT 1 FROM records WHERE uid = ?', (record.uid, )).fetchone()
                if there:
                    known.append(record)
                else:
                    new.append(_insert(connection, record))
        return new, known

    def add_submission(self, record: Record, submission: Submission) -> None:
        """Keep a submission beside its record."""
        with self._writing() as connection:
            _insert_submission(connection, record.id, submission)

    # ------------------------------------------------------------------------------------ reading

    def records(self) -> list[Record]:
        """All records, the oldest first; none if there is no file."""
        if not self.exists:
            return []
        with self._open() as connection:
            if not connection.execute('PRAGMA user_version').fetchone()[0]:
                return []
            texts = dict(connection.execute('SELECT digest, text FROM configs'))
            names = ('id', 'config_digest', *_COLUMNS, *_JSON)
            rows = connection.execute(f'SELECT {", ".join(names)} FROM records ORDER BY id').fetchall()
            pictures = _by_record(connection, 'pictures', Picture)
            submissions = _by_record(connection, 'submissions', Submission)
        made = []
        for row in rows:
            values = dict(zip(names, row))
            try:
                for name in _JSON:
                    values[name] = json.loads(values[name])
                text = texts[values.pop('config_digest')]
            except (ValueError, KeyError) as error:
                raise self._damaged(f'record {values["id"]}: {error}') from None
            values['published'], values['per_class'] = tuple(values['published']), tuple(values['per_class'])
            made.append(Record(config_text=text, pictures=tuple(pictures.get(values['id'], ())),
                               submissions=tuple(submissions.get(values['id'], ())), **values))
        return made

    def find(self, name: str) -> Record:
        """The newest record of a run, or the one that 'RUN#ID' or '#ID' names.

        Tests go before validations.

        Raises:
            UserError: Names the nearest runs.
        """
        return find(self.records(), name, str(self.path))


def find(records: Sequence[Record], name: str, where: str) -> Record:
    """As :meth:`Store.find`, among ``records``."""
    run, mark, number = name.rpartition('#')
    if mark and number.isdigit():
        found = [one for one in records if one.id == int(number) and run in ('', one.run)]
    else:
        found = [one for one in records if one.run == name]
        found = [one for one in found if one.phase == 'test'] or found
    if found:
        return found[-1]
    keys = dict.fromkeys([one.run for one in records] + [one.key for one in records])
    hint = did_you_mean(name, keys)
    known = ', '.join(dict.fromkeys(one.run for one in reversed(records)))
    raise UserError(f"no run '{name}' in {where}{hint}" + (f'\nRuns: {known:.400}' if known else
                                                          '\nIt has no records yet.'))


def _insert(connection: sqlite3.Connection, record: Record) -> Record:
    values: dict[str, Any] = {name: getattr(record, name) for name in _COLUMNS}
    values.update((name, json.dumps(plain(getattr(record, name)), allow_nan=False)) for name in _JSON)
    values['config_digest'] = record.config_digest
    connection.execute('INSERT OR IGNORE INTO configs VALUES (?, ?)',
                       (record.config_digest, record.config_text))
    marks = ', '.join('?' * len(values))
    cursor = connection.execute(f'INSERT INTO records ({", ".join(values)}) VALUES ({marks})',
                                tuple(values.values()))
    number = cursor.lastrowid
    for picture in record.pictures:
        connection.execute('INSERT INTO pictures VALUES (?, ?, ?, ?, ?)',
                           (number, picture.name, picture.score, picture.best, picture.jpeg))
    for submission in record.submissions:
        _insert_submission(connection, number, submission)
    return dataclasses.replace(record, id=number)


def _insert_submission(connection: sqlite3.Connection, number: int | None, one: Submission) -> None:
    connection.execute('INSERT INTO submissions VALUES (?, ?, ?, ?, ?, ?, ?)',
                       (number, *dataclasses.astuple(one)))


def _by_record(connection: sqlite3.Connection, table: str, kind: type) -> dict[int, list[Any]]:
    names = [field.name for field in dataclasses.fields(kind)]
    found: dict[int, list[Any]] = {}
    for number, *values in connection.execute(
            f'SELECT record, {", ".join(names)} FROM {table} ORDER BY rowid'):
        content = dict(zip(names, values))
        if 'best' in content:
            content['best'] = bool(content['best'])
        found.setdefault(number, []).append(kind(**content))
    return found
