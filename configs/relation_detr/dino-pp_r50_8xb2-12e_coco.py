# DINO++, the authors' DINO with position relation, ResNet-50, 12 epochs: box AP 50.1 (authors' README).
_base_ = './relation-detr_r50_8xb2-12e_coco.py'

model = dict(
    encoder=dict(memory_fusion=False),
    decoder=dict(query_scale=False),
    bbox_head=dict(
        loss_cls=dict(
            _delete_=True, type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0)),
    hybrid_cfg=None)
