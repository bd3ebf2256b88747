"""Pairwise geometry of boxes as an attention bias: the position relation of Relation-DETR."""
from .fast import position_relation
from .reference import box_differences, position_relation_reference

__all__ = ['box_differences', 'position_relation', 'position_relation_reference']
