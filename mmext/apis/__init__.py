"""Using a trained model from Python."""
from .inferencer import Inferencer
from .prediction import Prediction

__all__ = ['Inferencer', 'Prediction']
