"""Plot curves from training logs (plot_curve), or compute the time per iteration (cal_train_time).

The logs are the work_dirs/*/*/vis_data/*.json of any host. mmpretrain's tool reads all of them. The
other hosts' tools need seaborn, which nothing installs (mmseg, mmrotate), or fail by default with
today's matplotlib, which has no style 'dark' (mmdet).
"""
from __future__ import annotations

import sys
from pathlib import Path

from mmext.cli._common import guarded
from mmext.cli.host_tool import run_host_tool
from mmext.errors import UserError


def main() -> int:
    """Run the tool on the process's arguments."""
    argv = sys.argv[1:]
    logs = [Path(word) for word in argv[1:] if word.endswith('.json')]
    for log in logs:
        if not log.is_file():
            raise UserError(f"no log '{log}': expected a vis_data/*.json of a training run")
    try:
        return run_host_tool('mmpretrain', 'analysis_tools/analyze_logs.py', argv)
    except (KeyError, ValueError) as error:  # a key that the log doesn't have, or not a log
        raise UserError(f"{', '.join(map(str, logs))}: {error}") from error


if __name__ == '__main__':
    sys.exit(guarded(main))
