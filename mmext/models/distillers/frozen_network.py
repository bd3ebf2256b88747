"""A network that teaches and does not learn, kept outside of its student's weights."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import nn

from mmext.engine.checkpoint.loading import load_state
from mmext.engine.checkpoint.report import compare
from mmext.errors import UserError, did_you_mean
from mmext.registry import MODELS

if TYPE_CHECKING:
    from typing_extensions import Self

_SEED = 0  # of random teachers: they are the same in a resumed run and in every process


class FrozenNetwork:
    """Holds a teacher. Not an nn.Module, so that no checkpoint, optimizer or DDP sees its weights.

    Args:
        name: For messages.
        model: Config of the teacher, or the path of a config file whose ``model`` it is
            (``mmseg::pspnet/....py`` is a host's).
        checkpoint: File with its weights; all of them must be there.
        random: Allow a teacher without a checkpoint.

    Raises:
        UserError: If there is neither a checkpoint nor ``random=True``.
    """

    keys: tuple[str, ...] = ('model', 'checkpoint', 'random')

    def __init__(self, name: str, model: Any, checkpoint: str | None = None, random: bool = False) -> None:
        if checkpoint is None and not random:
            raise UserError(f"teacher '{name}' has no checkpoint: give checkpoint='FILE', or random=True for "
                            'a teacher with random weights')
        self.name = name
        self.checkpoint = checkpoint
        cfg = network_cfg(model)
        self.preprocesses = bool(cfg.get('data_preprocessor'))
        with torch.random.fork_rng():
            torch.manual_seed(_SEED)
            self.module: Any = MODELS.build(cfg)
        self.module.requires_grad_(False).eval()
        self._ready = False

    @classmethod
    def from_cfg(cls, name: str, cfg: Mapping[str, Any]) -> Self:
        """The teacher of ``dict(model=..., checkpoint=..., ...)``; the keys are the constructor's."""
        for key in cfg:
            if key not in cls.keys:
                raise UserError(f"teacher '{name}' has the unknown key '{key}'{did_you_mean(key, cls.keys)}")
        if 'model' not in cfg:
            raise UserError(f"teacher '{name}' has no model=dict(...)")
        return cls(name, **cfg)

    def __deepcopy__(self, memo: dict) -> Self:
        return self  # an EMA copy of the student shares the teachers

    def prepare(self) -> None:
        """Load or draw the weights, once.

        Raises:
            UserError: If the file lacks one of the weights, or one has another shape.
        """
        if self._ready:
            return
        if self.checkpoint is None:
            with torch.random.fork_rng():
                torch.manual_seed(_SEED)
                if hasattr(self.module, 'init_weights'):
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

    @contextmanager
    def evaluated(self, preprocessor: nn.Module) -> Iterator[nn.Module]:
        """The network in eval mode; ``preprocessor`` takes the place of one that its config lacks."""
        module, mode = self.module, self.module.training
        own = getattr(module, 'data_preprocessor', None)
        if not self.preprocesses:
            module.data_preprocessor = preprocessor
        module.eval()
        try:
            yield module
        finally:
            module.train(mode)
            if not self.preprocesses:
                module.data_preprocessor = own


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

    def _set_device(self, device: Any) -> None:
        """What mmengine's data preprocessors have to know besides."""
        super()._set_device(device)  # type: ignore[misc]
        for network in self.networks.values():
            if isinstance(network.module, BaseModel):
                network.module._set_device(device)


def network_cfg(model: Any) -> Any:
    """The model of a config file, to be built in that file's own scope; configs stay as they are.

    Raises:
        UserError: If there is no such file.
    """
    if not isinstance(model, str):
        return model
    if '::' not in model and not Path(model).is_file():
        raise UserError(f"there is no config file '{model}' in {Path.cwd()}; a path may also begin with a "
                        "package: 'mmext::...'")
    cfg = get_config(model) if '::' in model else Config.fromfile(model)
    network = cfg.model
    if 'data_preprocessor' in cfg:
        network.setdefault('data_preprocessor', cfg.data_preprocessor)
    if 'default_scope' in cfg:
        network.setdefault('_scope_', cfg.default_scope)
    return network
