#!/usr/bin/env python3
"""Reduce a training checkpoint to its weights; see --help."""
from mmext.cli.publish import main

if __name__ == '__main__':
    raise SystemExit(main())
