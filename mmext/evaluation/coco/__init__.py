"""COCO's evaluation on arrays: ground truth and detections as columns, three backends, one summary."""
from .backends import BACKENDS, choose_backend, evaluate
from .columns import Detections, Truth
from .summary import CocoTables

__all__ = ['BACKENDS', 'CocoTables', 'Detections', 'Truth', 'choose_backend', 'evaluate']
