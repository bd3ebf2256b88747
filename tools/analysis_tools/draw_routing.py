"""Draw the regions that bi-level routing attention chose; see mmext/cli/draw_routing.py."""
import sys

from mmext.cli.draw_routing import main

if __name__ == '__main__':
    sys.exit(main())
