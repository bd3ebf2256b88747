"""The shell scripts: what they start, with the hosts' positional arguments."""
from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'

pytestmark = pytest.mark.skipif(shutil.which('bash') is None, reason='needs bash')


@pytest.fixture
def stubs(tmp_path):
    """An environment whose python, sbatch, srun and scontrol print what they are given."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    for name in ('stub-python', 'sbatch', 'srun', 'scontrol'):
        stub = folder / name
        stub.write_text(f'#!/usr/bin/env bash\necho {name} "$@"\n'
                        '[[ ${0##*/} != srun ]] || { trap "exit 75" USR1; sleep "${STUB_SLEEP:-0}" & wait; '
                        'exit "${STUB_STATUS:-0}"; }\n')
        stub.chmod(0o755)
    return {'PATH': f'{folder}:{os.environ["PATH"]}', 'PYTHON': 'stub-python'}


def _run(script, *argv, env):
    return subprocess.run([str(TOOLS / script), *argv], env=env, text=True, capture_output=True,
                          timeout=60)


def test_dist_train(stubs):
    done = _run('dist_train.sh', 'c.py', '4', '--amp', '--work-dir', 'a b', env=stubs)
    assert done.returncode == 0, done.stderr
    assert '-m torch.distributed.run' in done.stdout
    assert '--nproc-per-node=4' in done.stdout
    assert f'{TOOLS}/train.py c.py --launcher pytorch --amp --work-dir a b' in done.stdout


def test_dist_test_on_two_machines(stubs):
    done = _run('dist_test.sh', 'c.py', 'x.pth', '8', '--tta',
                env={**stubs, 'NNODES': '2', 'NODE_RANK': '1', 'MASTER_ADDR': '10.1.1.1'})
    assert '--nnodes=2 --node-rank=1 --master-addr=10.1.1.1' in done.stdout
    assert f'{TOOLS}/test.py c.py x.pth --launcher pytorch --tta' in done.stdout


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh',
                                    'slurm_test.sh'])
def test_usage_without_arguments(stubs, script):
    done = _run(script, env=stubs)
    assert done.returncode == 2
    assert f'tools/{script}' in done.stderr


def test_slurm_job_is_submitted_with_requeue(stubs, tmp_path):
    done = _run('slurm_train.sh', 'part', 'job', 'c.py', str(tmp_path / 'work'), '--amp',
                env={**stubs, 'GPUS': '16', 'SRUN_ARGS': '--time=1-0 --qos=low'})
    assert done.returncode == 0, done.stderr
    assert 'sbatch --partition=part --job-name=job --gres=gpu:8 --ntasks=16' in done.stdout
    assert '--requeue --signal=B:USR1@120' in done.stdout
    assert '--time=1-0 --qos=low' in done.stdout
    assert (tmp_path / 'work').is_dir()


def test_slurm_job_resumes_and_passes_the_status_on(stubs):
    done = _run('slurm_train.sh', 'part', 'job', 'c.py', 'work', '--amp',
                env={**stubs, 'SLURM_JOB_ID': '5', 'STUB_STATUS': '3'})
    assert done.returncode == 3
    assert f'{TOOLS}/train.py c.py --work-dir work --launcher slurm --resume auto --amp' \
        in done.stdout


def test_slurm_job_requeues_itself_when_told(stubs):
    job = subprocess.Popen([str(TOOLS / 'slurm_train.sh'), 'part', 'job', 'c.py', 'work'],
                           env={**stubs, 'SLURM_JOB_ID': '5', 'STUB_SLEEP': '3'}, text=True,
                           stdout=subprocess.PIPE)
    assert job.stdout is not None
    assert 'train.py' in job.stdout.readline()  # srun has started
    time.sleep(0.5)
    job.send_signal(signal.SIGUSR1)
    out, _ = job.communicate(timeout=30)
    assert 'scontrol requeue 5' in out
    assert job.returncode == 75


def test_slurm_job_that_failed_is_not_requeued(stubs):
    done = _run('slurm_train.sh', 'part', 'job', 'c.py', 'work', env={**stubs, 'SLURM_JOB_ID': '5',
                                                                      'STUB_STATUS': '2'})
    assert done.returncode == 2 and 'scontrol' not in done.stdout


def test_slurm_test(stubs):
    done = _run('slurm_test.sh', 'part', 'job', 'c.py', 'x.pth', '--out', 'p.pkl', env=stubs)
    assert 'srun --partition=part --job-name=job' in done.stdout
    assert f'{TOOLS}/test.py c.py x.pth --launcher slurm --out p.pkl' in done.stdout
