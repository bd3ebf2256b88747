"""The ``mmext`` command itself."""
from __future__ import annotations

import importlib
import subprocess
import sys
import time

import pytest

from mmext.cli import COMMANDS, main
from mmext.cli._common import guarded
from mmext.errors import UserError


@pytest.mark.parametrize('command', COMMANDS)
def test_every_command_has_its_three_functions_and_help(command, capsys):
    module = importlib.import_module(f'mmext.cli.{COMMANDS[command][0]}')
    assert callable(module.add_arguments) and callable(module.run)
    with pytest.raises(SystemExit) as end:
        module.main(['--help'])
    assert end.value.code == 0
    assert f'usage: mmext {command} ' in capsys.readouterr().out


def test_unknown_command_names_the_nearest(capsys):
    assert main(['tarin']) == 2
    assert "no command 'tarin'; did you mean train" in capsys.readouterr().err


def test_help_lists_all_commands(capsys):
    assert main(['--help']) == 0
    out = capsys.readouterr().out
    assert all(f'  {command} ' in out for command in COMMANDS)
    assert main([]) == 2


def test_version(capsys):
    import mmext
    assert main(['--version']) == 0
    assert capsys.readouterr().out.strip() == mmext.__version__


def test_errors_are_red_on_a_terminal_only(capsys, monkeypatch):
    def fail() -> int:
        raise UserError('first line\nsecond line')

    assert guarded(fail) == 2
    assert capsys.readouterr().err == 'first line\nsecond line\n'
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True, raising=False)
    monkeypatch.delenv('NO_COLOR', raising=False)
    assert guarded(fail) == 2
    assert capsys.readouterr().err == '\033[1;31mfirst line\033[0m\nsecond line\n'


def test_only_rank_0_prints_an_error(capsys, monkeypatch):
    monkeypatch.setenv('RANK', '1')
    assert main(['tarin']) == 2
    assert capsys.readouterr().err == ''


def test_ctrl_c(capsys):
    def stop() -> int:
        raise KeyboardInterrupt

    assert guarded(stop) == 130


def test_starts_without_torch_and_fast():
    code = ("import sys\nfrom mmext.cli import main\nmain(['--help'])\n"
            "assert not {'torch', 'mmengine', 'numpy'} & set(sys.modules)")
    seconds = []
    for _ in range(3):
        start = time.monotonic()
        subprocess.run([sys.executable, '-c', code], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.monotonic() - start)
    assert min(seconds) < 1.0  # 0.1 s on an idle machine
