"""Predict on images, folders, globs and videos; see mmext/cli/infer.py."""
import sys

from mmext.cli.infer import main

if __name__ == '__main__':
    sys.exit(main())
