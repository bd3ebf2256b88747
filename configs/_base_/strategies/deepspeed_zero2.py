# Gradients and optimizer states in shards, one for each process (DeepSpeed's ZeRO, stage 2).
# Beside a host's config: _base_ = ['...', 'mmext::_base_/strategies/deepspeed_zero2.py'], and in it
# optim_wrapper = dict(_delete_=True, type='DeepSpeedOptimWrapper', optimizer=dict(...))
runner_type = 'FlexibleRunner'
strategy = dict(
    type='DeepSpeedStrategy',
    gradient_clipping=1.0,
    bf16=dict(enabled=True),
    inputs_to_half=['inputs'],
    zero_optimization=dict(
        stage=2, overlap_comm=True, contiguous_gradients=True, allgather_bucket_size=200_000_000,
        reduce_bucket_size=200_000_000))
