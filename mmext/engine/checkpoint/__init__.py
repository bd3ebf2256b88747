"""Reading and writing weights without running anybody's code."""
from .loading import load_file, load_state, load_url

__all__ = ['load_file', 'load_state', 'load_url']
