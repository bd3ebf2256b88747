"""Search a student without training; see mmext/cli/search_student.py."""
import sys

from mmext.cli.search_student import main

if __name__ == '__main__':
    sys.exit(main())
