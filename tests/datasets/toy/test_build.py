"""Making the data: the same bytes, once, whole."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmext.datasets import toy
from mmext.errors import UserError

SMALL = dict(num_train=3, num_val=2, size=64, seed=11)
TOOL = Path(__file__).parents[3] / 'tools' / 'dataset_converters' / 'make_toy_data.py'

DIGESTS = {
    'coco': '3c643eb00009f02a71c556fbb074b79b737270b5531f176677e96c16709c66b3',
    'dota': 'f41bafff129684bb26864295ef4d9f90e7c646965c4f053dd7908c8766f05629',
    'ade20k': 'dcfc3fe1057afec3af976a350a55736ed16da87a308f7d995f8a02993e64557f',
    'imagenet': '1838c7b39051c2e5483dcec426c1c97b4ad0005343e5ed20fcea79c01a15a502',
}


def snapshot(root):
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(root.rglob('*')) if path.is_file()
    }


def contents(root):
    return {name: content for name, (content, _) in snapshot(root).items()}


def test_bytes_are_the_same_everywhere(tmp_path):
    """Changing what is drawn or written is fine, but then VERSION has to change too."""
    made = toy.make(tmp_path, **SMALL)
    assert toy.VERSION == 3
    assert {record.path.name: record.digest for record in made} == DIGESTS


def test_a_second_call_writes_nothing(tmp_path):
    first = toy.make(tmp_path, **SMALL)
    before = snapshot(tmp_path)
    second = toy.make(tmp_path, **SMALL)
    assert snapshot(tmp_path) == before
    assert all(record.fresh for record in first) and not any(record.fresh for record in second)
    assert [record.digest for record in first] == [record.digest for record in second]


def test_formats_can_be_made_apart(tmp_path):
    together, apart = tmp_path / 'together', tmp_path / 'apart'
    toy.make(together, **SMALL)
    for name in reversed(toy.FORMATS):
        toy.make(apart, [name], **SMALL)
    assert contents(apart) == contents(together)


def test_other_arguments_replace(tmp_path):
    toy.make(tmp_path, ['dota'], **SMALL)
    [made] = toy.make(tmp_path, ['dota'], **{**SMALL, 'num_train': 1})
    assert made.fresh
    assert len(list((tmp_path / 'dota/train/images').iterdir())) == 1
    assert [path.name for path in tmp_path.iterdir()] == ['dota']


def test_more_images_keep_the_first(tmp_path):
    toy.make(tmp_path / 'few', ['coco', 'imagenet'], **SMALL)
    toy.make(tmp_path / 'many', ['coco', 'imagenet'], **{**SMALL, 'num_train': 7, 'num_val': 4})
    few, many = contents(tmp_path / 'few'), contents(tmp_path / 'many')
    pictures = [name for name in few if name.endswith('.png')]
    assert pictures and all(few[name] == many[name] for name in pictures)


def test_a_damaged_folder_is_made_again(tmp_path):
    toy.make(tmp_path, ['ade20k'], **SMALL)
    good = contents(tmp_path)
    victim = tmp_path / 'ade20k/images/training/ADE_train_00000002.png'
    victim.unlink()
    assert toy.make(tmp_path, ['ade20k'], **SMALL)[0].fresh
    assert contents(tmp_path) == good


def test_an_interrupted_run_leaves_the_old_state(tmp_path):
    toy.make(tmp_path, ['coco'], **SMALL)
    before = snapshot(tmp_path)

    def interrupt(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        toy.make(tmp_path, ['coco', 'dota'], **{**SMALL, 'seed': 1}, progress=interrupt)
    assert snapshot(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ['coco']


def test_leavings_of_killed_runs_are_swept(tmp_path):
    for name, age in (('.toy-dead', 7200), ('.toy-alive', 0)):
        (tmp_path / name).mkdir()
        when = (tmp_path / name).stat().st_mtime - age
        os.utime(tmp_path / name, (when, when))
    toy.make(tmp_path, ['dota'], **SMALL)
    assert {path.name for path in tmp_path.iterdir()} == {'.toy-alive', 'dota'}


def test_makers_at_the_same_time_do_not_clash(tmp_path):
    toy.make(tmp_path, ['coco', 'dota'], **{**SMALL, 'seed': 5})  # all of them find it in the way
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: toy.make(tmp_path, ['coco', 'dota'], **SMALL), range(4)))
    assert {record.digest for run in runs for record in run} == {DIGESTS['coco'], DIGESTS['dota']}
    assert {path.name for path in tmp_path.iterdir()} == {'coco', 'dota'}


def test_somebody_elses_data_is_never_replaced(tmp_path):
    (tmp_path / 'coco').mkdir()
    (tmp_path / 'coco' / 'precious.txt').write_text('years of work')
    with pytest.raises(UserError, match=r"coco' is there and was not made by"):
        toy.make(tmp_path, ['dota', 'coco'], **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ['coco']
    assert (tmp_path / 'coco' / 'precious.txt').read_text() == 'years of work'


@pytest.mark.parametrize(('change', 'words'), [
    (dict(formats=['cocoo']), ["'cocoo'", 'did you mean coco?']),
    (dict(formats=['COCO']), ["'COCO'", 'did you mean coco?']),
    (dict(formats=[]), ['at least one of coco, dota, ade20k, imagenet']),
    (dict(formats='coco'), ['a list of names']),
    (dict(size=31), ['size', '32 to 1024', 'got 31', 'nearest is 32']),
    (dict(size=5000), ['nearest is 1024']),
    (dict(size=64.0), ['size', 'an integer']),
    (dict(num_train=-1), ['num_train', 'got -1', 'nearest is 0']),
    (dict(num_val=10**7), ['num_val', 'nearest is 100000']),
    (dict(num_val='ten'), ['num_val', "got 'ten'"]),
    (dict(num_train=0, num_val=0), ['at least one image']),
    (dict(seed='x'), ['seed']),
])
def test_bad_arguments_are_answered_before_anything_is_written(tmp_path, change, words):
    with pytest.raises(UserError) as error:
        toy.make(tmp_path / 'root', **{**SMALL, **change})
    assert all(word in str(error.value) for word in words), str(error.value)
    assert not (tmp_path / 'root').exists()


def test_a_root_that_cannot_be(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='file'):
        toy.make(tmp_path / 'file' / 'root', **SMALL)


def test_manifest_tells_how_it_was_made(tmp_path):
    [made] = toy.make(tmp_path, ['imagenet'], **SMALL)
    manifest = json.loads((tmp_path / 'imagenet/manifest.json').read_text())
    assert manifest['arguments'] == SMALL and manifest['digest'] == made.digest
    files = [path for path in made.path.rglob('*.*') if path.name != 'manifest.json']
    assert made.images == 5 == len([path for path in files if path.suffix == '.png'])
    assert manifest['files'] == len(files)
    assert made.size == manifest['bytes'] == sum(path.stat().st_size for path in files)


def tool(*arguments, **environment):
    return subprocess.run(
        [sys.executable, str(TOOL), *arguments], capture_output=True, text=True,
        env={**os.environ, 'PYTHONPATH': str(TOOL.parents[2]), **environment}, check=False)


def test_the_tool_makes_what_it_says(tmp_path):
    options = ['--num-train', '3', '--num-val', '2', '--size', '64', '--seed', '11']
    run = tool('--formats', 'coco', 'dota', *options, MMEXT_TOY_DATA=str(tmp_path))
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert f"{tmp_path / 'coco'}: 5 images" in lines[0] and DIGESTS['coco'][:12] in lines[0]
    assert lines[1].count('made') == 1 and lines[2].endswith(' s')
    again = tool('--root', str(tmp_path), '--formats', 'dota', *options)
    assert 'was there' in again.stdout


@pytest.mark.parametrize(('arguments', 'words'), [
    (['--formats', 'dotta'], 'did you mean dota?'),
    (['--sise', '64'], 'did you mean --size'),
    (['--size', '8'], 'nearest is 32'),
])
def test_the_tool_answers_mistakes_with_one_message(tmp_path, arguments, words):
    run = tool('--root', str(tmp_path / 'root'), *arguments)
    assert run.returncode == 2
    assert words in run.stderr and 'Traceback' not in run.stderr
