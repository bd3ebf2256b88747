"""A network that teaches and does not learn, kept outside of its student's weights."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from torch import nn

from mmext.engine.checkpoint.loading import load_state
from mmext.engine.checkpoint.report import compare
from mmext.errors import UserError, did_you_mean
from mmext.registry import MODELS

_KEYS = ('model', 'checkpoint', 'random')


class FrozenNetwork:
    """Holds a teacher. Not an nn.Module, so that no checkpoint, optimizer or DDP sees its weights.

    Args:
        name: For messages.
        model: Config of the teacher, or the path of a config file whose ``model`` it is.
        checkpoint: File with its weights; all of them must be there.
        random: Allow a teacher without a checkpoint.

    Raises:
        UserError: If there is neither a checkpoint nor ``random=True``.
    """

    def __init__(self, name: str, model: Any, checkpoint: str | None = None, random: bool = False) -> None:
        if checkpoint is None and not random:
            raise UserError(f"teacher '{name}' has no checkpoint: give checkpoint='FILE', or random=True for "
                            'a teacher with random weights')
        if isinstance(model, str):
            model = Config.fromfile(model).model
        self.name = name
        self.checkpoint = checkpoint
        self.module: Any = MODELS.build(model)
        self.module.requires_grad_(False).eval()
        self._ready = False

    @classmethod
    def from_cfg(cls, name: str, cfg: Mapping[str, Any]) -> FrozenNetwork:
        """The teacher of ``dict(model=..., checkpoint=..., random=...)``."""
        for key in cfg:
            if key not in _KEYS:
                raise UserError(f"teacher '{name}' has the unknown key '{key}'{did_you_mean(key, _KEYS)}")
        if 'model' not in cfg:
            raise UserError(f"teacher '{name}' has no model=dict(...)")
        return cls(name, **cfg)

    def prepare(self) -> None:
        """Load or draw the weights, once.

        Raises:
            UserError: If the file lacks one of the weights, or one has another shape.
        """
        if self._ready:
            return
        if self.checkpoint is None:
            self.module.init_weights()
        else:
            own = self.module.state_dict()
            state = load_state(self.checkpoint)
            fit = compare(own, state)
            if fit.missing or fit.shapes:
                raise UserError(f"teacher '{self.name}': {self.checkpoint} is not for this model:\n{fit}")
            self.module.load_state_dict({key: state[key] for key in own})
            print_log(f"teacher '{self.name}' from {self.checkpoint}: {fit}", logger='current')
        self.module.requires_grad_(False)
        self._ready = True


class TeacherOwner(nn.Module):
    """Mixin for models with :class:`FrozenNetwork` in ``self.networks``: they move and load with it."""

    networks: dict[str, FrozenNetwork]

    def init_weights(self) -> None:
        """Initialise the student and load the teachers."""
        super().init_weights()  # type: ignore[misc]
        self.prepare_teachers()

    def prepare_teachers(self) -> None:
        """Load the teachers that are not loaded yet."""
        for network in self.networks.values():
            network.prepare()

    def _apply(self, fn: Callable, recurse: bool = True) -> Any:
        for network in self.networks.values():
            network.module._apply(fn)
        return super()._apply(fn, recurse)
