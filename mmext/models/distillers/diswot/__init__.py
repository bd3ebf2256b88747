"""DisWOT: how well an untrained student would learn from a teacher."""
from .metrics import Response, classifier_gradient, scores, semantic_score
from .score import DisWOTScore

__all__ = ['DisWOTScore', 'Response', 'classifier_gradient', 'scores', 'semantic_score']
