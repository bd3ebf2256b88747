"""What a detector's figure is made of: kinds of errors, curves, confusion, classes by frequency.

Works on columns of boxes, upright or oriented; :func:`.boxes.read_boxes` makes them from a data set and
the predictions of a test. Confusion of pixels is :func:`mmext.engine.analysis.confusion.pixel_confusion`.
"""
from .boxes import read_boxes
from .confusion import box_confusion
from .curves import Curve, precision_recall
from .errors import KINDS, ErrorReport, error_types

__all__ = ['KINDS', 'Curve', 'ErrorReport', 'box_confusion', 'error_types', 'precision_recall', 'read_boxes']
