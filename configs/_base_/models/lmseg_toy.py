# What the small LMSegs of the toy configs share: a CLIP-like ResNet from scratch, 20 queries and a decoder
# of three layers. Label spaces and text encoder are a config's own.
channels = 64
head = dict(
    type='mmext.LMSegHead',
    in_channels=[64, 128, 256, 512],
    feat_channels=channels,
    out_channels=channels,
    num_queries=20,
    decoder=dict(layers=3, heads=4, drop_path_rate=0.))
mean = [122.7709, 116.7460, 104.0937]
std = [68.5005, 66.6322, 70.3232]
model = dict(
    backbone=dict(
        type='mmext.CLIPResNet',
        depth=(1, 1, 1, 1),
        base_channels=16,
        # from scratch: norms are trained
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False))
