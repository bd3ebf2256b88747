"""Embedded toy data: seeded scenes in the four real formats, the same bytes on every machine.

Five classes of rotated, textured, overlapping shapes lie on two of four background textures. The
same scenes are written as COCO (boxes, masks, panoptic, captions), DOTA (quadrilaterals,
difficulty) and ADE20K (label maps, 0 = unlabelled); ImageNet folders hold one dominant object an
image. They are hard enough to be worth detecting and easy enough for a demo: objects turn, hide
one another and lie on anything; shape and markings are certain, while colour is only a hint: wrong
one time in six and shared with another class.

Only NumPy is needed, and only its integers: no float, no library random numbers, no compression.

Example:
    >>> from mmext.datasets import toy
    >>> for made in toy.make('data/toy', formats=('coco', 'dota'), num_train=8, num_val=4):
    ...     print(made.path.name, made.images, made.fresh)
    coco 12 True
    dota 12 True
"""
from .build import FORMATS, VERSION, Made, make
from .classes import CLASSES, PALETTE, STUFF
from .locate import DEFAULT_ROOT, ROOT_VARIABLE, default_root, missing

__all__ = [
    'CLASSES', 'DEFAULT_ROOT', 'FORMATS', 'PALETTE', 'ROOT_VARIABLE', 'STUFF', 'VERSION', 'Made',
    'default_root', 'make', 'missing'
]
