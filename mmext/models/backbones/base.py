"""What every backbone of mmext has: checks, freezing, recomputation, and files as authors write them."""
from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...errors import UserError
from .layers import keep_batch_norms


class Backbone(BaseModule):
    """Base of backbones. Subclasses build the layers, then call :meth:`_freeze`.

    Args:
        out_indices: Which maps are returned.
        maps: How many maps there are to choose from.
        stages: How many stages can be frozen.
        frozen_stages: Freeze the stem and this many stages; -1 freezes nothing.
        norm_eval: Keep batch norms in evaluation mode while training.
        init_cfg: As for any :class:`BaseModule`; ``dict(type='Pretrained', checkpoint=...)`` takes
            official files as well as converted ones.

    Raises:
        ValueError: If ``out_indices`` or ``frozen_stages`` is none of those.
        UserError: On loading weights of another variant.
    """

    #: Begins the names of a stage's parameters; what it matches tells stages apart.
    stage_pattern: ClassVar[str]
    #: Matches one parameter of each block, with as many values as the stage has channels first;
    #: groups are the stage's number and the block's.
    block_pattern: ClassVar[str]
    #: Least height and width of an image.
    min_size: int = 1

    def __init__(self, out_indices: Sequence[int], maps: int, stages: int, frozen_stages: int,
                 norm_eval: bool, init_cfg: dict | list[dict] | None) -> None:
        super().__init__(init_cfg)
        if not out_indices or not set(out_indices) <= set(range(maps)):
            stem = ' (stem)' if maps > stages else ''
            raise ValueError(f'out_indices={tuple(out_indices)}: expected one or more of 0{stem} to '
                             f'{maps - 1}')
        if not -1 <= frozen_stages <= stages:
            raise ValueError(f'frozen_stages={frozen_stages}: expected -1 to {stages}')
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval

    def _prepared(self, x: Tensor) -> Tensor:
        """The images, checked, in the layout that the layers like best."""
        height, width = x.shape[-2:]
        if min(height, width) < self.min_size:
            raise ValueError(f'an image of {int(height)} x {int(width)} pixels is too small for '
                             f'{type(self).__name__} with out_indices={self.out_indices}: '
                             f'{self.min_size} a side are needed')
        # On a GPU torch's own choice is faster. Layers keep the layout from one to the next.
        return x if x.is_cuda else x.contiguous(memory_format=torch.channels_last)

    def _frozen_modules(self) -> Iterable[nn.Module]:
        """What ``frozen_stages`` freezes."""
        raise NotImplementedError

    def _freeze(self) -> None:
        for module in self._frozen_modules():
            module.eval()
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> Backbone:
        """Set the mode; frozen stages and, with ``norm_eval``, batch norms stay in evaluation."""
        super().train(mode)
        self._freeze()
        if mode and self.norm_eval:
            keep_batch_norms(self)
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Take files as the authors wrap them; refuse weights of another variant."""
        if not prefix:
            self._unwrap(state_dict)
        ours = self._stage_weights(self.state_dict(), '')
        theirs = self._stage_weights(state_dict, prefix)
        if not prefix and state_dict and not theirs:  # mmengine would go on with random weights
            raise UserError(f'the file has no weights of {type(self).__name__} (it begins with '
                            f'{next(iter(state_dict))!r}; those here are like {next(iter(ours))!r})')
        wrong = self._differences(ours, theirs) if theirs else []
        if wrong:
            raise UserError(f'these weights are of another variant than this {type(self).__name__} '
                            f'({self._describe(theirs)} in the file, {self._describe(ours)} here); '
                            f'{len(wrong)} parameters differ, first: {wrong[0]}')
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _unwrap(self, state: dict[str, Any]) -> None:
        """Leave the weights of the backbone alone in what a file holds, in place."""
        if isinstance(state.get('model'), dict):  # beside the authors' optimizer, epoch, arguments
            weights = state['model']
            state.clear()
            state.update(weights)
        if not any(re.match(self.stage_pattern, key) for key in state):
            for key in [key for key in state if key.startswith('backbone.')]:  # a whole model
                state[key.removeprefix('backbone.')] = state.pop(key)

    def _stage_weights(self, state: dict[str, Any], prefix: str) -> dict[str, Tensor]:
        """Parameters and statistics of the stages; counters are absent in old files."""
        return {key.removeprefix(prefix): value for key, value in state.items()
                if key.startswith(prefix) and re.match(self.stage_pattern, key.removeprefix(prefix))
                and not key.endswith('num_batches_tracked')}

    def _differences(self, ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> list[str]:
        """What tells two sets of stages apart; the file may hold stages that are not built."""
        found = []
        stem = next(key for key, value in ours.items() if value.ndim == 4)
        for key, value in ours.items():
            if key not in theirs:
                if key != stem:
                    found.append(f'{key} is absent in the file')
                continue
            shape, other = tuple(value.shape), tuple(theirs[key].shape)
            if key == stem:  # images may have other channels
                shape, other = (shape[0], *shape[2:]), (other[0], *other[2:])
            if shape != other:
                found.append(f'{key} is {other} in the file and {shape} here')
        built = {self._stage_of(key) for key in ours}
        return found + [f'{key} is only in the file' for key in theirs
                        if key not in ours and self._stage_of(key) in built]

    def _stage_of(self, key: str) -> str:
        match = re.match(self.stage_pattern, key)
        assert match is not None
        return match.group()

    def _describe(self, state: dict[str, Tensor]) -> str:
        """Depths and widths as the keys show them."""
        stages: dict[str, list[int]] = {}
        for key, value in state.items():
            if match := re.fullmatch(self.block_pattern, key):
                stages.setdefault(match.group(1), []).append(value.shape[0])
        order = sorted(stages)
        return f'depth {[len(stages[i]) for i in order]}, embed_dim {[stages[i][-1] for i in order]}'


def run_blocks(blocks: Iterable[nn.Module], x: Tensor, recompute: bool) -> Tensor:
    """``x`` through the blocks, each of them computed again in the backward pass if ``recompute``."""
    for block in blocks:
        if recompute and torch.is_grad_enabled():
            x = checkpoint(block, x, use_reentrant=False)
        else:
            x = block(x)
    return x
