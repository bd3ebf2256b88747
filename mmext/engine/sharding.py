"""Which modules of a model are shards of their own under FSDP."""
from __future__ import annotations

from torch import nn
from torch.distributed.fsdp.wrap import size_based_auto_wrap_policy


def wrap_called_modules(module: nn.Module, recurse: bool, nonwrapped_numel: int,
                        min_num_params: int = 10_000_000) -> bool:
    """An ``auto_wrap_policy``: large modules, but never a head or a part of one.

    FSDP gathers a module's parameters when the module is called. The hosts call the methods ``loss``
    and ``predict`` of their heads instead, whose parameters would still be in shards then; they stay
    in the outermost unit, which is gathered for the whole step.

    Args:
        module: A module of the model.
        recurse: Whether the question is to look into the module, not to wrap it.
        nonwrapped_numel: Its parameters that no unit has yet.
        min_num_params: From how many parameters on a module is a unit.
    """
    is_head = hasattr(module, 'loss') and not hasattr(module, 'train_step')
    return not is_head and size_based_auto_wrap_policy(module, recurse, nonwrapped_numel,
                                                       min_num_params=min_num_params)
