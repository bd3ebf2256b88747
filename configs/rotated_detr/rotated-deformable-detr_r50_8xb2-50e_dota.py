# Rotated Deformable-DETR, R50, DOTA-v1.0 tiles, 50 epochs; the model as published (ai4rs, where the batch
# is 4): 68.65 AP50, 39.83 AP75.
_base_ = '../o2detr/o2detr_r50_8xb2-50e_dota.py'

attention = dict(embed_dims=256, num_levels=4, dropout=0.1)
ffn = dict(embed_dims=256, feedforward_channels=1024, ffn_drop=0.1)
model = dict(
    type='mmext.RotatedDeformableDETR',
    num_queries=900,
    box_space=dict(angle='fresh', sampling='none'),
    encoder=dict(_delete_=True, num_layers=6, layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=ffn)),
    bbox_head=dict(loss_bbox=dict(type='mmdet.L1Loss', loss_weight=5.0)),
    train_cfg=dict(
        assigner=dict(
            match_costs=[
                dict(type='mmdet.FocalLossCost', weight=2.0),
                dict(type='mmext.RBoxL1Cost', weight=5.0, periodic=False),
                dict(type='mmext.GDCost', weight=2.0),
            ])))
