"""Evaluate a checkpoint with a config of any host; see mmext/cli/test.py."""
import sys

from mmext.cli.test import main

if __name__ == '__main__':
    sys.exit(main())
