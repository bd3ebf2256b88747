"""Build a config's model for inference: device, weights, class names."""
from __future__ import annotations

import contextlib
import copy
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..engine.checkpoint import load_file, load_state, load_url
from ..errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config


@contextlib.contextmanager
def quiet_hosts() -> Iterator[None]:
    """Keep what the hosts say to themselves away from a tool's output.

    Their warnings are about their own code, nothing a user can act on; what they print goes to
    stderr, so that stdout holds the tool's answer alone.
    """
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.filterwarnings('ignore', module=r'(mmdet|mmseg|mmpretrain|mmrotate|mmcv|torch)\b')
        yield


def pick_device(device: str | None) -> torch.device:
    """The device called ``device``, or the best one there is.

    Raises:
        UserError: If there is no such device here.
    """
    from mmengine.device import get_device
    have = ['cpu', *(f'cuda:{i}' for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        have.append('mps')
    try:
        chosen = torch.device(device or get_device())
        torch.empty(1, device=chosen).cpu()  # 'meta' exists, but nothing comes back from it
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UserError(f"no device '{device}' here (have: {', '.join(have)})") from None
    return chosen


def without_pretrained(node: Any) -> Any:
    """A model's config without the weights that training would start from."""
    if isinstance(node, Mapping):
        return type(node)({  # type: ignore[call-arg]
            key: without_pretrained(value)
            for key, value in node.items() if key != 'pretrained' and not (
                key == 'init_cfg' and isinstance(value, Mapping)
                and value.get('type') == 'Pretrained')
        })
    if isinstance(node, list | tuple):
        return type(node)(without_pretrained(value) for value in node)
    return node


def build_model(cfg: Config) -> Any:
    """The config's model on the CPU, untrained, in evaluation mode; nothing is downloaded.

    Args:
        cfg: A whole config.

    Raises:
        UserError: If the config has no model.
    """
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import MODELS, DefaultScope
    if not isinstance(cfg.get('model'), Mapping):
        raise UserError('the config has no model')
    settings = without_pretrained(cfg.model)
    if cfg.get('data_preprocessor'):  # where mmpretrain keeps it; the Runner moves it like this
        settings.setdefault('data_preprocessor', copy.deepcopy(cfg.data_preprocessor))
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        return revert_sync_batchnorm(MODELS.build(settings)).eval()


def read_checkpoint(path: str | Path,
                    trust: bool = False) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The weights in a checkpoint, and the ``meta`` that mmengine stored beside them.

    Args:
        path: A file, or a URL.
        trust: Read a file that can only be read by running code from it.

    Raises:
        UserError: If it cannot be read, or holds no weights.
    """
    path, remote = str(path), '://' in str(path)
    content = (load_url(path, map_location='cpu', trust=trust)
               if remote else load_file(path, 'cpu', trust=trust))
    meta = content.get('meta') if isinstance(content, dict) else None
    if isinstance(content, dict) and isinstance(content.get('state_dict'), dict):
        return content['state_dict'], dict(meta or {})
    if remote:  # by now in the cache
        path = str(Path(torch.hub.get_dir(), 'checkpoints', Path(path.split('?')[0]).name))
    return load_state(path, trust=trust), dict(meta or {})


def load_weights(model: torch.nn.Module, state: Mapping[str, torch.Tensor], name: str) -> None:
    """Put weights into a model; what does not fit is named in a warning.

    Args:
        model: The model, changed in place.
        state: Tensors by key.
        name: What to call the checkpoint in messages.

    Raises:
        UserError: If nothing fits: the checkpoint is another model's.
    """
    own = model.state_dict()
    fitting = {key: value for key, value in state.items()
               if key in own and own[key].shape == value.shape}
    if own and not fitting:
        raise UserError(f'{name} does not belong to this config: none of its {len(state)} weights '
                        f"fits the model (the model has '{next(iter(own))}', ..., the file "
                        f"'{next(iter(state), 'nothing')}', ...)")
    model.load_state_dict(fitting, strict=False)
    for kind, keys in (('keeps its initial value for', own.keys() - fitting.keys()),
                       ('has no place for', state.keys() - fitting.keys())):
        if keys:
            more = f' and {len(keys) - 5} more' if len(keys) > 5 else ''
            warnings.warn(f'{name}: the model {kind} {", ".join(sorted(keys)[:5])}{more}',
                          stacklevel=3)


def class_meta(stated: Mapping[str, Any], checkpoint_meta: Mapping[str, Any]) -> dict[str, Any]:
    """Class names and colours: the checkpoint's, else what the dataset states.

    Args:
        stated: ``classes`` and ``palette`` as the config's dataset has them.
        checkpoint_meta: What mmengine stored beside the weights.
    """
    stored = checkpoint_meta.get('dataset_meta') or {}
    stored = {str(key).lower(): value for key, value in stored.items()}
    if not stored and checkpoint_meta.get('CLASSES'):  # the hosts' releases before 2023
        stored = dict(classes=checkpoint_meta['CLASSES'], palette=checkpoint_meta.get('PALETTE'))
    merged = {**stated, **{key: value for key, value in stored.items() if value is not None}}
    palette, classes = merged.get('palette'), merged.get('classes') or ()
    if isinstance(palette, list | tuple) and len(palette) < len(classes):
        merged.pop('palette')  # that of another set of classes
    return merged
