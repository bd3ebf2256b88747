# Fine-tuning of H-GKD's ResNet-50 with SparK's recipe. Published: 80.01 top-1.
_base_ = 'mmpretrain::spark/benchmarks/resnet50_8xb256-coslr-300e_in1k.py'

model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint='work_dirs/h_gkd_sparse-resnet50_8xb512-amp-coslr-800e_in1k/epoch_800.pth',
            prefix='student.backbone.')))
