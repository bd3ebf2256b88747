"""Print a resolved config, or explain where a value comes from; see mmext/cli/print_config.py."""
import sys

from mmext.cli.print_config import main

if __name__ == '__main__':
    sys.exit(main())
