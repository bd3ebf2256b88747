"""Search of a student's architecture without training, see ``mmext search-student``."""
from .candidate import Candidate, Evaluator
from .searcher import StudentSearcher
from .settings import SearchSettings
from .space import SearchSpace

__all__ = ['Candidate', 'Evaluator', 'SearchSettings', 'SearchSpace', 'StudentSearcher']
