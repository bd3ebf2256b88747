"""Checkpoints on disk: whole or not there, the newest whole one is found, none runs code."""
from __future__ import annotations

import errno
import io
import os
import pickle
import time
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from mmext.engine.checkpoint import load_file
from mmext.engine.checkpoint.newest import damage, newest_checkpoint
from mmext.engine.checkpoint.report import compare
from mmext.engine.checkpoint.saving import MANIFEST, read_manifest, write_checkpoint
from mmext.errors import UserError

CONTENT = {'state_dict': {'w': torch.arange(1000.)}, 'meta': {'epoch': 1}}


def write_run(folder: Path, steps: int, pointer: int | None) -> list[Path]:
    paths = []
    for step in range(1, steps + 1):
        paths.append(folder / f'iter_{step}.pth')
        write_checkpoint(CONTENT | {'step': step}, paths[-1])
        os.utime(paths[-1], ns=(step * 10**9, step * 10**9))
    if pointer is not None:
        (folder / 'last_checkpoint').write_text(str(folder / f'iter_{pointer}.pth'))
    return paths


def test_written_is_what_torch_would_write(tmp_path):
    path = tmp_path / 'new' / 'iter_1.pth'
    written = write_checkpoint(CONTENT, path)
    loaded = load_file(path, 'cpu')
    assert torch.equal(loaded['state_dict']['w'], CONTENT['state_dict']['w'])
    assert written.size == path.stat().st_size and read_manifest(path.parent) == {path.name: written}
    assert damage(path) is None
    assert sorted(p.name for p in path.parent.iterdir()) == [MANIFEST, 'iter_1.pth'], 'left something behind'


def test_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / 'iter_1.pth'
    write_checkpoint(CONTENT, path)
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match='No space left'):
        write_checkpoint({'other': torch.zeros(10)}, path)
    assert path.read_bytes() == before and damage(path) is None
    assert not list(tmp_path.glob('.*')), 'left its temporary file behind'


def test_disk_error_is_not_hidden_by_torch(tmp_path, monkeypatch):
    from mmext.engine.checkpoint import saving

    def write(self, data):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(saving._Hashing, 'write', write)
    with pytest.raises(OSError, match='No space left'):
        write_checkpoint(CONTENT, tmp_path / 'iter_1.pth')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('change, says', [
    (lambda data: data[:-100], 'bytes of'),
    (lambda data: b'', 'has 0 bytes'),
    (lambda data: data[:2000] + bytes([data[2000] ^ 1]) + data[2001:], 'other content'),
])
@pytest.mark.parametrize('listed', [True, False])
def test_damage_is_seen(tmp_path, change, says, listed):
    path = write_run(tmp_path, 1, None)[0]
    if not listed:
        (tmp_path / MANIFEST).unlink()
    path.write_bytes(change(path.read_bytes()))
    found = damage(path)
    assert found is not None
    if listed:
        assert says in found


@pytest.mark.parametrize('pointer', [None, 1, 2, 3])
def test_newest_whole_one_is_found(tmp_path, pointer):
    """Whatever the pointer says: a process may die between the file and the pointer."""
    paths = write_run(tmp_path, 3, pointer)
    assert newest_checkpoint(tmp_path) == (paths[2], [])
    paths[2].write_bytes(paths[2].read_bytes()[:-50])
    found, passed = newest_checkpoint(tmp_path)
    assert found == paths[1] and len(passed) == 1 and 'iter_3.pth' in passed[0]
    paths[1].unlink()
    assert newest_checkpoint(tmp_path)[0] == paths[0]
    paths[0].write_bytes(b'')
    found, passed = newest_checkpoint(tmp_path)
    assert found is None and any('iter_1.pth' in line for line in passed)


def test_stale_files_of_an_earlier_run_are_not_newest(tmp_path):
    """A shorter run after a longer one in the same folder."""
    paths = write_run(tmp_path, 3, 2)
    now = time.time_ns()
    os.utime(paths[1], ns=(now, now))
    assert newest_checkpoint(tmp_path)[0] == paths[1]


def test_work_directory_that_was_moved(tmp_path):
    folder = tmp_path / 'old'
    write_run(folder, 2, 2)
    moved = folder.rename(tmp_path / 'new')
    assert newest_checkpoint(moved)[0] == moved / 'iter_2.pth'


@pytest.mark.parametrize('content', ['', 'no/such/file.pth', '\0'])
def test_broken_pointer(tmp_path, content):
    paths = write_run(tmp_path, 2, None)
    (tmp_path / 'last_checkpoint').write_text(content)
    assert newest_checkpoint(tmp_path)[0] == paths[1]


# ------------------------------------------------------------------------------------- hostile files


class _Reduce:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target), )


class _Build:
    """Runs code when its state is put back."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return object.__new__, (_Build, ), {'target': _Reduce(self.target)}


class _PersistentId(pickle.Pickler):
    def persistent_id(self, obj):
        return ('storage', os.mkdir, str(obj), 'cpu', 1) if isinstance(obj, Path) else None


def _archive(data: bytes) -> bytes:
    """What torch.save writes, around a pickle of anybody's."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w', zipfile.ZIP_STORED) as archive:
        archive.writestr('archive/data.pkl', data)
        archive.writestr('archive/version', '3\n')
        archive.writestr('archive/byteorder', 'little')
    return out.getvalue()


def _hostile(kind: str, target: Path) -> bytes:
    if kind == 'persistent id':
        out = io.BytesIO()
        _PersistentId(out, 2).dump(target)
        return _archive(out.getvalue())
    if kind == 'global':
        return _archive(b'\x80\x02cos\nmkdir\nX' + len(str(target)).to_bytes(4, 'little')
                        + str(target).encode() + b'\x85R.')
    if kind == 'bare pickle':
        return pickle.dumps({'state_dict': _Reduce(target)}, 2)
    if kind == 'nested archive':
        inner = io.BytesIO()
        torch.save(_Reduce(target), inner)
        return _archive(pickle.dumps({'inner': inner.getvalue(), 'load': _Reduce(target)}, 2))
    content = {'reduce': _Reduce, 'build': _Build}[kind](target)
    return _archive(pickle.dumps({'state_dict': {'w': content}}, 2))


@pytest.mark.parametrize('kind', ['reduce', 'build', 'global', 'persistent id', 'nested archive',
                                  'bare pickle'])
def test_hostile_checkpoint_runs_nothing_and_is_named(tmp_path, kind):
    target, file = tmp_path / 'it ran', tmp_path / 'hostile.pth'
    file.write_bytes(_hostile(kind, target))
    with pytest.raises(UserError, match='hostile.pth'):
        load_file(file, 'cpu')
    assert not target.exists()


# ------------------------------------------------------------------------------------------- report


def test_report_groups_and_suggests():
    head = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 6))
    model = nn.ModuleDict(dict(backbone=nn.Linear(3, 4), head=head))
    state = {f'module.{key}': value for key, value in model.state_dict().items()}
    assert compare(model.state_dict(), state).whole
    state['module.backbone.weight'] = torch.zeros(7, 3)
    del state['module.head.1.weight'], state['module.head.1.bias']
    state['module.head.01.weight'] = torch.zeros(1)
    fit = compare(model.state_dict(), state)
    assert str(fit).splitlines() == [
        '3 of 6 weights fit',
        '  backbone.weight: (7, 3) in the file, (4, 3) in the model',
        '  not in the file:  head.1.* (2 keys)',
        '  not in the model: head.01.weight',
        "  ('head.1.weight' may be the file's 'head.01.weight')",
    ]
