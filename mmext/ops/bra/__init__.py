"""Bi-level routing attention: queries of a region attend to the tokens of its routed regions."""
from .fast import routed_attention
from .reference import routed_attention_reference
from .regions import merge_regions, split_regions

__all__ = ['merge_regions', 'routed_attention', 'routed_attention_reference', 'split_regions']
