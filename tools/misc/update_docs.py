"""Write the generated tables of README.md, docs/ and configs/; see mmext/cli/update_docs.py."""
import sys

from mmext.cli.update_docs import main

if __name__ == '__main__':
    sys.exit(main())
