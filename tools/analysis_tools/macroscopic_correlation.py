"""Measure how strongly boxes depend on each other; see mmext/cli/macroscopic_correlation.py."""
import sys

from mmext.cli.macroscopic_correlation import main

if __name__ == '__main__':
    sys.exit(main())
