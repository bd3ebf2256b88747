#!/usr/bin/env python3
"""Convert an official checkpoint to mmext's names and arguments; see --help."""
from mmext.cli.convert import main

if __name__ == '__main__':
    raise SystemExit(main())
