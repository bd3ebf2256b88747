# Parameters, gradients and optimizer states in shards, one for each process (torch's FSDP).
# Beside a host's config: _base_ = ['...', 'mmext::_base_/strategies/fsdp.py']
runner_type = 'FlexibleRunner'
strategy = dict(
    type='FSDPStrategy',
    model_wrapper=dict(
        type='MMFullyShardedDataParallel',
        use_orig_params=True,  # an optimizer with settings of its own for some parameters needs it
        auto_wrap_policy=dict(type='mmext.engine.sharding.wrap_called_modules', min_num_params=10_000_000)),
    # One whole checkpoint, written by the first process: any tool reads it, on any number of processes.
    state_dict_cfg=dict(
        state_dict_type='FULL_STATE_DICT',
        state_dict_config=dict(type='FullStateDictConfig', offload_to_cpu=True, rank0_only=True),
        optim_state_dict_config=dict(type='FullOptimStateDictConfig', offload_to_cpu=True, rank0_only=True)))
