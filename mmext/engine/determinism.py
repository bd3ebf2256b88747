"""Which parts of a model repeat a step bit for bit, and which do not."""
from __future__ import annotations

from torch import nn

# Layers of mmcv whose CUDA backward adds in whatever order its threads finish, which torch's
# own check (torch.use_deterministic_algorithms) does not see. On a CPU all of them repeat exactly.
# Of mmext's own operators none belongs here: they are made of torch's, which that check covers.
UNORDERED = frozenset((
    'BorderAlign', 'CARAFE', 'CARAFENaive', 'CARAFEPack', 'DeformConv2d', 'DeformConv2dPack',
    'DeformRoIPool', 'DeformRoIPoolPack', 'ModulatedDeformConv2d', 'ModulatedDeformConv2dPack',
    'ModulatedDeformRoIPoolPack', 'MultiScaleDeformableAttention', 'PrRoIPool', 'RiRoIAlignRotated',
    'RoIAlign', 'RoIAlignRotated', 'RoIPool',
))


def unordered_layers(model: nn.Module) -> dict[str, list[str]]:
    """Layers whose gradients on a GPU differ in the last bits from run to run.

    Returns:
        Names of the modules by the name of their class; empty if a GPU repeats the model exactly.
    """
    found: dict[str, list[str]] = {}
    for name, module in model.named_modules():
        for cls in type(module).__mro__:
            if cls.__name__ in UNORDERED and cls.__module__.startswith('mmcv.'):
                found.setdefault(cls.__name__, []).append(name)
                break
    return found
