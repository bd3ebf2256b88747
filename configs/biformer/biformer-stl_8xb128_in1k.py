# BiFormer-STL (Swin-T's layout) on ImageNet-1K. Published top-1 82.7.
_base_ = './biformer-s_8xb128_in1k.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmext.BiFormerSTL',
        layout='nhwc',
        drop_path_rate=0.15,
        out_indices=(3, ),
        extra_norms=False,
        final_norm=True),
    head=dict(in_channels=768))
