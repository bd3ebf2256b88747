"""Cut DOTA pictures and their annotations into tiles, with mmrotate's own img_split tool.

The published settings, whose files mmrotate's package leaves out, are presets:
  --preset ss   single scale: 1024-pixel tiles that overlap by 200
  --preset ms   multi scale: at 0.5, 1.0 and 1.5 times the size, overlapping by 500
Any option of the tool may follow and wins over the preset, for example
  dota_tiles.py --preset ss --img-dirs DOTA/train/images --ann-dirs DOTA/train/labelTxt \\
      --save-dir split_ss_dota/train
"""
from __future__ import annotations

import sys

from mmext.cli._common import guarded
from mmext.cli.host_tool import run_host_tool
from mmext.errors import UserError, did_you_mean

# mmrotate's split_configs/{ss,ms}_*.json, as published
_COMMON = ['--sizes', '1024', '--img-rate-thr', '0.6', '--iof-thr', '0.7', '--padding-value',
           '104', '116', '124', '--save-ext', '.png']
PRESETS = {
    'ss': [*_COMMON, '--gaps', '200', '--rates', '1.0'],
    'ms': [*_COMMON, '--gaps', '500', '--rates', '0.5', '1.0', '1.5'],
}


def with_preset(argv: list[str]) -> list[str]:
    """``argv`` with ``--preset NAME`` replaced by what it stands for.

    Raises:
        UserError: If there is no such preset.
    """
    argv = [part for word in argv for part in (
        word.split('=', 1) if word.startswith('--preset=') else [word])]
    if '--preset' not in argv:
        return argv
    at = argv.index('--preset')
    name = argv[at + 1] if at + 1 < len(argv) else ''
    if name not in PRESETS:
        raise UserError(f"--preset '{name}': expected {' or '.join(PRESETS)}"
                        f'{did_you_mean(name, PRESETS)}')
    return [*PRESETS[name], *argv[:at], *argv[at + 2:]]


def main() -> int:
    """Run the tool on the process's arguments."""
    argv = sys.argv[1:]
    if not argv or {'-h', '--help'} & set(argv):
        print(__doc__)
        argv = ['--help']
    try:
        return run_host_tool('mmrotate', 'data/dota/split/img_split.py', with_preset(argv))
    except AssertionError as error:  # how the tool reports wrong arguments
        raise UserError(f'dota_tiles.py: {error or "wrong arguments, see --help"}') from error


if __name__ == '__main__':
    sys.exit(guarded(main))
