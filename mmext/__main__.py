"""``python -m mmext COMMAND ...`` is the ``mmext`` command."""
from .cli import main

raise SystemExit(main())
