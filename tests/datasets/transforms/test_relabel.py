"""Relabel: other numbers for the classes of a label map."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmext.errors import UserError
from mmext.registry import TRANSFORMS

LABELS = st.integers(0, 255)


@given(st.dictionaries(LABELS, LABELS, max_size=6), st.none() | LABELS, st.lists(LABELS, max_size=30))
def test_every_pixel_gets_its_new_label(labels: dict[int, int], others: int | None,
                                        pixels: list[int]) -> None:
    relabel = TRANSFORMS.build(dict(type='mmext.Relabel', labels=labels, others=others))
    found = relabel(dict(gt_seg_map=np.array([pixels], dtype=np.uint8)))['gt_seg_map']
    assert found.dtype == np.uint8
    assert found[0].tolist() == [labels.get(one, one if others is None else others) for one in pixels]


def test_a_label_out_of_range_is_named() -> None:
    with pytest.raises(UserError, match='label -1'):
        TRANSFORMS.build(dict(type='mmext.Relabel', labels={65: -1}))
