"""Ensembles of detectors: calibrated scores (PRAE), P-NMS and the usual fusions, on-line and off-line."""
from .calibrator import PRAECalibrator
from .columns import Detections
from .fusion import PRAEFusion

__all__ = ['Detections', 'PRAECalibrator', 'PRAEFusion']
