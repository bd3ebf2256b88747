"""mmext: published modules as plug-ins for mmdet, mmseg, mmpretrain and mmrotate.

Importing this package is cheap (no torch, no host). It only arms the repairs of
:mod:`mmext.hosts`, which act when, and if, the module they repair is imported.
"""
from . import hosts

__version__ = '0.1.0'

hosts.arm()
