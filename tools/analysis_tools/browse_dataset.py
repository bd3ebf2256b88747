"""Draw samples of a config's data with their ground truth; see mmext/cli/browse_dataset.py."""
import sys

from mmext.cli.browse_dataset import main

if __name__ == '__main__':
    sys.exit(main())
