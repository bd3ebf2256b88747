"""Texts to vectors: stored tables and the encoders of ``transformers``, behind one interface."""
from .base import LanguageModel
from .text_encoder import TextEncoder
from .text_table import TextTable, read_table, write_table

__all__ = ['LanguageModel', 'TextEncoder', 'TextTable', 'read_table', 'write_table']
