"""LMSeg: language-guided multi-dataset segmentation.

"LMSeg: Language-guided Multi-dataset Segmentation", ICLR 2023 (arXiv 2302.13495); official code
github.com/mightyzau/LMSeg. What differs here: the taxonomy of an image is named, not guessed from a
path; text tables are computed once per test, and prompts are trimmed; the text encoder is frozen by
default (``frozen=False`` trains it).
"""
from .decoder import CategoryGuidedDecoder
from .guide import LanguageGuide
from .head import LMSegHead, MaskFocalCost, semantic_scores
from .panoptic import LMSegFusionHead, LMSegPanoptic, Segment
from .plain_decoder import PlainDecoder, PreNormPixelDecoder
from .semantic import LMSeg
from .taxonomy import Taxonomy, read_taxonomy
from .text_encoder import CLIPTextContextEncoder

__all__ = [
    'CLIPTextContextEncoder', 'CategoryGuidedDecoder', 'LMSeg', 'LMSegFusionHead', 'LMSegHead',
    'LMSegPanoptic', 'LanguageGuide', 'MaskFocalCost', 'PlainDecoder', 'PreNormPixelDecoder', 'Segment',
    'Taxonomy', 'read_taxonomy', 'semantic_scores'
]
