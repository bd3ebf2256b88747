"""Names and colours of the toy data; the configs' ``metainfo`` says the same (a test compares)."""
from __future__ import annotations

#: Countable objects, in alphabetical order so that ImageNet folders give the same labels.
#: COCO category id = index + 1; every plural is the name with an s.
CLASSES = ('bar', 'disc', 'ring', 'star', 'triangle')

#: Backgrounds; their labels follow those of ``CLASSES``.
STUFF = ('brick', 'grass', 'sand', 'water')

#: One RGB colour for each of ``CLASSES + STUFF``, for drawing annotations.
PALETTE = ((230, 25, 75), (60, 120, 216), (245, 130, 49), (250, 210, 60), (145, 60, 180),
           (140, 75, 60), (70, 140, 60), (210, 190, 130), (60, 140, 190))

#: What objects are painted with; captions use these names.
COLOURS = {
    'red': (206, 52, 48),
    'orange': (232, 132, 40),
    'yellow': (238, 202, 62),
    'green': (72, 158, 78),
    'blue': (54, 104, 204),
    'purple': (138, 78, 178),
    'white': (234, 234, 228),
    'pink': (236, 128, 172),
}
