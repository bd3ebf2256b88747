"""Forgetting what one Runner leaves behind in a process."""
from __future__ import annotations

import logging


def forget_runs() -> None:
    """Empty mmengine's process-wide tables of loggers, scopes, message hubs and visualizers."""
    from mmengine.logging import MMLogger
    from mmengine.utils import ManagerMixin
    for logger in getattr(MMLogger, '_instance_dict', {}).values():
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.close()
    classes = [ManagerMixin]
    while classes:
        cls = classes.pop()
        classes += cls.__subclasses__()
        cls.__dict__.get('_instance_dict', {}).clear()
