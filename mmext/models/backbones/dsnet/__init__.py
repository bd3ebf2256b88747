"""DS-Net, see :mod:`.dsnet` for the network and :mod:`.block` for its parts."""
from .block import DSBlock, InterScaleAlignment
from .dsnet import ARCHITECTURES, DSNet

__all__ = ['ARCHITECTURES', 'DSBlock', 'DSNet', 'InterScaleAlignment']
