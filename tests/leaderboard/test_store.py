"""The store: nothing is lost, nothing is overwritten, nothing foreign is touched."""
from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmext.errors import UserError
from mmext.leaderboard.record import Submission, from_dict, to_dict
from mmext.leaderboard.store import VERSION, Store
from mmext.leaderboard.transfer import read_records, to_json

from .samples import picture, record

WRITER = """
import sys
sys.path.insert(0, {root!r})
from mmext.leaderboard.store import Store
from mmext.leaderboard.record import Record, Picture
store = Store({path!r})
for number in range({count}):
    one = store.add(Record(run=f'{name}-{{number}}', dataset='COCO', metrics={{'a': number}},
                    config_text='x' * 4000,
                    pictures=tuple(Picture(str(k), .5, True, bytes(20000)) for k in range(5))))
    print(one.id, flush=True)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / 'deep' / 'leaderboard.sqlite')


def _writer(store: Store, name: str, count: int) -> subprocess.Popen:
    code = WRITER.format(root=str(Path(__file__).parents[2]), path=str(store.path), name=name, count=count)
    return subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True)


def test_a_record_comes_back_as_it_was(store):
    one = record(pictures=(picture(), picture('b.jpg', 1., True)), per_class=({'class': 'cat', 'AP': 3.5}, ),
                 submissions=(Submission('ade20k', '2026-01-01T00:00:00Z', answer=b'\xff\0raw'), ))
    kept = store.add(one)
    assert kept.id == 1
    assert store.records() == [kept]
    assert kept == type(one)(**{**vars(one), 'id': 1})
    assert kept.config_digest == record().config_digest != record(config_text='other').config_digest


def test_what_is_not_a_number_is_none(store):
    store.add(record(metrics={'coco/bbox_mAP': float('nan'), 'b': 1.5}))
    assert store.records()[0].metrics == {'coco/bbox_mAP': None, 'b': 1.5}


def test_two_runs_of_one_name_are_both_kept(store):
    store.add(record(metrics={'a': 1.}))
    store.add(record(metrics={'a': 2.}))
    store.add(record(metrics={'a': 3.}, phase='val'))
    assert [one.metrics['a'] for one in store.records()] == [1., 2., 3.]
    assert store.find('emov2').metrics['a'] == 2., 'the newest test'
    assert store.find('emov2#1').metrics['a'] == store.find('#1').metrics['a'] == 1.
    assert store.find('#3').phase == 'val'


def test_unknown_run_names_the_nearest(store):
    with pytest.raises(UserError, match='has no records yet'):
        store.find('emov2')
    store.add(record('emov2-seed1'))
    with pytest.raises(UserError, match="no run 'emov2-sed1'.*did you mean emov2-seed1"):
        store.find('emov2-sed1')
    with pytest.raises(UserError, match="no run 'emov2-seed1#7'"):
        store.find('emov2-seed1#7')


def test_concurrent_writers_all_get_in(store):
    writers = [_writer(store, f'writer{number}', 8) for number in range(4)]
    numbers = [int(line) for writer in writers for line in writer.communicate(timeout=60)[0].split()]
    assert [writer.returncode for writer in writers] == [0] * 4
    assert sorted(numbers) == list(range(1, 33))
    records = store.records()
    assert len({one.run for one in records}) == 32
    assert all(len(one.pictures) == 5 for one in records)


def test_killed_writer_leaves_whole_records(store):
    for attempt in range(4):
        writer = _writer(store, f'attempt{attempt}', 10_000)
        assert writer.stdout is not None
        said = [int(writer.stdout.readline())]
        time.sleep(0.02 * attempt + 0.013)  # anywhere in a transaction
        os.kill(writer.pid, signal.SIGKILL)
        said += [int(line) for line in writer.stdout.read().split()]
        writer.wait()
        records = store.records()
        assert {one.id for one in records} >= set(said), 'a record that was confirmed is gone'
        assert all(len(one.pictures) == 5 and len(one.config_text) == 4000 for one in records)
    store.add(record('afterwards'))
    assert store.find('afterwards').run == 'afterwards'


def test_newer_version_is_refused_and_left_alone(store):
    store.add(record())
    with sqlite3.connect(store.path) as connection:
        connection.execute(f'PRAGMA user_version = {VERSION + 1}')
    connection.close()
    _refuses_everything(store, f'newer mmext .its format is {VERSION + 1}')


def _refuses_everything(store: Store, message: str) -> None:
    before = store.path.read_bytes()
    for action in (store.check, store.records, lambda: store.add(record()), lambda: store.find('emov2'),
                   lambda: store.add_all([record()])):
        with pytest.raises(UserError, match=message) as caught:
            action()
        assert str(store.path) in str(caught.value)
    assert store.path.read_bytes() == before
    assert not [one for one in store.path.parent.iterdir() if one != store.path]


def test_damaged_store_is_refused_and_left_alone(store):
    for number in range(30):
        store.add(record(f'run{number}', config_text=str(number) * 3000))
    whole = store.path.read_bytes()
    for damaged in (b'not a database' * 500, whole[:len(whole) // 2],
                    whole[:100] + bytes(8000) + whole[8100:], whole[:4096] + b'\xa5' * (len(whole) - 4096)):
        store.path.write_bytes(damaged)
        _refuses_everything(store, 'is damaged')


def test_database_of_another_program_is_left_alone(store):
    store.path.parent.mkdir()
    with sqlite3.connect(store.path) as connection:
        connection.execute('CREATE TABLE cookies (id)')
    connection.close()
    _refuses_everything(store, 'database of another program')


def test_no_store_is_an_empty_one_and_reading_makes_none(store):
    assert store.records() == []
    store.check(writable=True)
    assert not store.path.parent.exists()
    store.path.parent.mkdir()
    store.path.touch()  # SQLite's first step, a crash its second
    assert store.records() == []
    assert store.add(record()).id == 1


def test_place_that_cannot_be_one(tmp_path):
    with pytest.raises(UserError, match='is a folder'):
        Store(tmp_path).check()
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='cannot be written.*--no-leaderboard'):
        Store(tmp_path / 'file' / 'x.sqlite').check(writable=True)


def test_location(monkeypatch, tmp_path):
    monkeypatch.setenv('MMEXT_LEADERBOARD', str(tmp_path / 'a.sqlite'))
    assert Store().path == tmp_path / 'a.sqlite'
    monkeypatch.delenv('MMEXT_LEADERBOARD')
    assert Store().path == Path('work_dirs/leaderboard.sqlite')


# ------------------------------------------------------------------------------------- transfer

names = st.text(st.characters(exclude_categories=['Cs']), min_size=1, max_size=20)
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=30, deadline=None)
@given(run=names, metrics=st.dictionaries(names, numbers, max_size=4), text=names,
       blob=st.binary(max_size=40))
def test_json_is_lossless(run, metrics, blob, text, tmp_path_factory):
    path = tmp_path_factory.mktemp('json') / 'records.json'
    one = record(run, metrics=metrics, config_text=text,
                 submissions=(Submission('ade20k', '', answer=blob), ), pictures=(picture(), ))
    path.write_text(to_json([one]), encoding='utf-8')
    assert read_records(path) == [one]


def test_import_adds_what_is_new_and_changes_nothing(store, tmp_path):
    ours, theirs = store.add(record('ours')), record('theirs')
    other = Store(tmp_path / 'other.sqlite')
    other.add(theirs)
    other.add(type(ours)(**{**vars(ours), 'run': 'changed'}))  # the same record, changed elsewhere
    new, known = store.add_all(read_records(other.path))
    assert [one.run for one in new] == ['theirs'] and [one.run for one in known] == ['changed']
    assert [one.run for one in store.records()] == ['ours', 'theirs']


@pytest.mark.parametrize('change, message', [
    (dict(run=3), "'run' must be str"), (dict(colour='red'), "has no 'colour'"),
    (dict(phase='train'), 'must be test or val'),
    (dict(metrics={'a': 'high'}), "metric 'a' must be a number"),
    (dict(pictures=[{}]), 'picture or submission'),
    (dict(per_class=[1]), "'per_class' must be a list of objects"),
    (dict(epoch=True), "'epoch' must be int")])
def test_what_is_no_record_is_refused(change, message):
    with pytest.raises(UserError, match=f'here: {message}|here.*{message}'):
        from_dict(to_dict(record()) | change, 'here')


def test_files_that_are_no_records_are_refused(tmp_path):
    path = tmp_path / 'x.json'
    for text, message in (('{', 'neither a leaderboard nor JSON'), ('[]', 'expected what'),
                          (json.dumps(dict(format='mmext leaderboard', version=99)), 'newer mmext'),
                          (json.dumps(dict(format='mmext leaderboard', version=1, records=[{}])),
                           "record 1: 'run' is missing")):
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            read_records(path)
    with pytest.raises(UserError, match='there is no file'):
        read_records(tmp_path / 'missing.json')
