"""Models by role. Registered classes are imported by name, see :mod:`mmext.registry`."""
