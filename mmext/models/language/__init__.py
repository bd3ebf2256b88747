"""Texts to vectors: stored tables and the encoders of ``transformers``, behind one interface."""
from .base import LanguageModel
from .text_encoder import TextEncoder
from .text_table import TextTable, read_table, write_table
from .word_embeddings import WordEmbeddings, WordPiece

__all__ = ['LanguageModel', 'TextEncoder', 'TextTable', 'WordEmbeddings', 'WordPiece', 'read_table',
           'write_table']
