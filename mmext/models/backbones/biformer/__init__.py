"""BiFormer, see :mod:`.biformer` for the networks and :mod:`.attention` for their attention."""
from .attention import BRA, BiLevelRoutingAttention
from .biformer import ARCHITECTURES, BiFormer, BiFormerSTL
from .blocks import Block
from .global_attention import Attention, AttentionLePE, AttentionLePE2d
from .routing import Routing, record_routing

__all__ = ['ARCHITECTURES', 'BRA', 'Attention', 'AttentionLePE', 'AttentionLePE2d', 'BiFormer',
           'BiFormerSTL', 'BiLevelRoutingAttention', 'Block', 'Routing', 'record_routing']
