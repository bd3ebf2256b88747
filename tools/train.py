"""Train a model from a config of any host; see mmext/cli/train.py."""
import sys

from mmext.cli.train import main

if __name__ == '__main__':
    sys.exit(main())
