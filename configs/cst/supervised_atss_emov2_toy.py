# The 40 labelled images alone, with as many of them a step: what the toy study starts from.
_base_ = 'cst_atss_emov2_toy.py'

labelled = _base_.train_dataloader.dataset.datasets[0]
labelled.pipeline = [*_base_.sup_pipeline[:-1], dict(type='PackDetInputs')]
model = dict(_delete_=True, **_base_.detector)
train_dataloader = dict(
    _delete_=True,
    batch_size=5,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=labelled)
custom_hooks = []
