"""EMOv2, see :mod:`.emov2` for the network and :mod:`.block` for its parts."""
from .block import InvertedResidualMobileBlock, SpanningAttention
from .emov2 import ARCHITECTURES, EMOv2

__all__ = ['ARCHITECTURES', 'EMOv2', 'InvertedResidualMobileBlock', 'SpanningAttention']
