"""Run a file of tools/ in this process, as the command line would."""
from __future__ import annotations

import runpy
import sys
from pathlib import Path

TOOLS = Path(__file__).parents[2] / 'tools'


def run_tool(name: str, *argv: object) -> int:
    """Exit code of ``python tools/NAME ARGV``."""
    before = sys.argv
    sys.argv = [name, *map(str, argv)]
    try:
        runpy.run_path(str(TOOLS / name), run_name='__main__')
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.argv = before
    return 0
