"""P-NMS: greedy suppression by a ranking that need not be the score (PRAE)."""
from .geometry import box_areas, overlaps
from .single import p_nms
from .suppression import suppress, suppress_reference

__all__ = ['box_areas', 'overlaps', 'p_nms', 'suppress', 'suppress_reference']
