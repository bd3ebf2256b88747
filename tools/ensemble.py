"""Fuse the results of several detectors, off-line; see mmext/cli/ensemble.py."""
import sys

from mmext.cli.ensemble import main

if __name__ == '__main__':
    sys.exit(main())
