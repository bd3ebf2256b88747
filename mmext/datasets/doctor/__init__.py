"""Look at a config's data before training on them; the library behind ``mmext check --data``.

Training on broken annotations seldom fails: the hosts drop what they cannot use and the loss goes
to zero, or the mAP does. Here the annotations are read and every image's header with them, nothing
is decoded, and what is wrong comes back as one list, worst first.

Example:
    >>> from mmext.cli.config import load_config
    >>> from mmext.datasets.doctor import examine_config
    >>> for report in examine_config(load_config('configs/_base_/datasets/toy_dota.py')):
    ...     print(report.headline())
"""
from .finding import DatasetReport, Example, Finding
from .run import examine, examine_config

__all__ = ['DatasetReport', 'Example', 'Finding', 'examine', 'examine_config']
