"""Reading and writing weights without running anybody's code."""
from .loading import load_file, load_state, load_url
from .saving import write_checkpoint, write_weights

__all__ = ['load_file', 'load_state', 'load_url', 'write_checkpoint', 'write_weights']
