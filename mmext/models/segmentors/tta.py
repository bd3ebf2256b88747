"""Test-time augmentation of segmentors whose scores are probabilities already."""
from __future__ import annotations

from mmengine.structures import PixelData
from mmseg.models.segmentors import SegTTAModel as HostTTAModel
from mmseg.structures import SegDataSample

from ...errors import UserError
from ...registry import MODELS


@MODELS.register_module()
class SegTTAModel(HostTTAModel):
    """:class:`mmseg.SegTTAModel` that can leave out the softmax.

    MaskFormer's and LMSeg's scores are sums of class times mask probabilities; their authors average
    them as they are, where mmseg takes a softmax of them first.

    Args:
        merge: 'mean' of the scores, or of their 'softmax' as in mmseg.
        **kwargs: See :class:`mmengine.model.BaseTTAModel`.

    Raises:
        UserError: If ``merge`` is neither.

    Example:
        >>> tta_model = dict(type='mmext.SegTTAModel', merge='mean')
    """

    def __init__(self, merge: str = 'mean', **kwargs: object) -> None:
        if merge not in ('mean', 'softmax'):
            raise UserError(f"SegTTAModel: merge='{merge}'; expected mean or softmax")
        super().__init__(**kwargs)
        self.merge = merge

    def merge_preds(self, data_samples_list: list[list[SegDataSample]]) -> list[SegDataSample]:
        """One result for each image.

        Args:
            data_samples_list: For each image its results, flipped back, all ``(K, H, W)``.
        """
        if self.merge == 'softmax':
            return super().merge_preds(data_samples_list)
        merged = []
        for samples in data_samples_list:
            scores = samples[0].seg_logits.data.clone()
            for other in samples[1:]:
                scores += other.seg_logits.data
            scores /= len(samples)
            result = samples[0]
            result.set_data(dict(seg_logits=PixelData(data=scores),
                                 pred_sem_seg=PixelData(data=scores.argmax(dim=0, keepdim=True))))
            merged.append(result)
        return merged
