"""From the authors' arguments and weights to an mmext config and state, one file per method.

``mmext convert``, ``tools/model_converters/`` and the parity tests all go through
:func:`convert`, so what the tests prove is what users get.
"""
from .base import ConversionReport, Converter, convert, converter_for, methods

__all__ = ['ConversionReport', 'Converter', 'convert', 'converter_for', 'methods']
