"""What the host packages need repaired, one small function each.

Two moments:

* :func:`arm`, run by ``import mmext``: repairs without which a host cannot be imported or a config
  cannot be inherited. They wait in an import hook, so that ``import mmext`` stays cheap.
* :func:`repair`, run by mmext's own tools before they touch a host: also changes *behaviour* (what
  may be unpickled, how files are written). A process that merely uses a plug-in keeps the host's.

Every repair acts only where it is needed and says, in :data:`REPAIRS`, why it is here and when it
may go. ``mmext doctor`` prints that table.
"""
from __future__ import annotations

import functools
import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple


class Host(NamedTuple):
    """A package that mmext stands on: import name, distribution and accepted versions."""

    module: str
    distribution: str
    versions: str

    @property
    def requirement(self) -> str:
        """What to give to pip, for example ``onedl-mmrotate>=1.2,<2``."""
        return f'{self.distribution}{self.versions}'


HOSTS = {
    host.module: host
    for host in (
        Host('mmengine', 'onedl-mmengine', '>=0.10.12,<0.11'),
        Host('mmcv', 'onedl-mmcv', '>=2.3.6,<2.4'),
        Host('mmdet', 'onedl-mmdetection', '>=3.5.1,<4'),
        Host('mmseg', 'onedl-mmsegmentation', '>=1.4.2,<2'),
        Host('mmpretrain', 'onedl-mmpretrain', '>=1.3.6,<2'),
        Host('mmrotate', 'onedl-mmrotate', '>=1.2.1,<2'),
    )
}


class Repair(NamedTuple):
    """One cure: what it does, why, when it may go, and whether this environment needs it."""

    name: str
    reason: str
    until: str
    needed: Callable[[], bool]


# ---------------------------------------------------------------------------- name map of mmengine


def add_config_scopes(utils: ModuleType) -> None:
    """Make ``_base_ = 'mmext::...'`` and ``'mmseg::...'`` resolve.

    mmengine looks a scope up in a fixed table of *distribution* names. The table has no mmext and
    says ``mmsegmentation`` for mmseg, whose distribution is ``onedl-mmsegmentation``; it then
    reports mmseg as missing and ``mmengine.hub`` even pip-installs the release of 2023 over it.
    A module name in the table resolves by import instead.
    """
    utils.MODULE2PACKAGE.update(mmext='mmext', mmseg='mmseg')  # type: ignore[attr-defined]


def read_metafiles_once(utils: ModuleType) -> None:
    """Read a host's model index once per process.

    For every ``_base_ = 'host::...'`` mmengine parses all of that host's metafiles (a hundred YAML
    files) anew: a second or two for each config.
    """
    load = utils.load  # type: ignore[attr-defined]

    @functools.cache
    def load_version(file: str, changed: int) -> Any:
        return load(file)

    utils.load = lambda file: load_version(file, os.stat(file).st_mtime_ns)  # type: ignore[attr-defined]


def mend_config_utils(utils: ModuleType) -> None:
    """What ``mmengine.config.utils`` needs."""
    add_config_scopes(utils)
    read_metafiles_once(utils)


def keep_scope_of_hosts(config: ModuleType) -> None:
    """Inherit mmext's configs in the scope of the host they are written for.

    mmengine marks what it inherits from a package with that package's scope. In scope ``mmext`` no
    unprefixed host type resolves; mmext's configs name their host by ``default_scope`` instead.
    """
    find = config.Config._get_cfg_path  # type: ignore[attr-defined]

    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        path, scope = find(cfg_path, filename)
        return path, None if scope == 'mmext' else scope

    config.Config._get_cfg_path = staticmethod(get_cfg_path)  # type: ignore[attr-defined]


def _name_map_lacks_scopes() -> bool:
    from importlib.metadata import PackageNotFoundError, version
    try:
        version('mmsegmentation')
    except PackageNotFoundError:
        return True
    return False


# --------------------------------------------------------------------- torchvision beside CPU torch


@functools.cache
def torchvision_extension_is_broken() -> bool:
    """Whether torchvision is installed but its compiled part cannot be loaded by this torch."""
    spec = importlib.util.find_spec('torchvision')
    if spec is None or spec.origin is None:
        return False
    libraries = [
        path for pattern in ('_C.so', '_C*.so', '_C.pyd') for path in Path(spec.origin).parent.glob(pattern)
    ]
    if not libraries:
        return True
    import ctypes

    import torch  # noqa: F401  its libraries must be in the process first
    try:
        ctypes.CDLL(str(libraries[0]))
    except OSError:
        return True
    return False


_torchvision_ops: list[Any] = []  # keeps the torch.library handles alive


def declare_torchvision_ops() -> None:
    """Let ``import torchvision`` succeed where its extension does not load.

    torchvision registers meta kernels for two operators that only its extension declares; with a
    CUDA-linked wheel beside a CPU torch the import dies with ``operator torchvision::nms does not
    exist``. mmpretrain and mmrotate need torchvision's Python part (transforms). Both operators
    are declared here, and mmcv's own kernel stands behind ``nms``.
    """
    if _torchvision_ops or not torchvision_extension_is_broken():
        return
    import torch

    library = torch.library.Library('torchvision', 'DEF')
    library.define('nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    library.define('qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')

    def nms(dets: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
        from mmcv.ops import nms as mmcv_nms
        return mmcv_nms(dets.float(), scores.float(), iou_threshold)[1]

    library.impl('nms', nms, 'CPU')
    _torchvision_ops.append(library)


def let_torchvision_nms_run(boxes: ModuleType) -> None:
    """Let ``torchvision.ops.nms`` reach the kernel of :func:`declare_torchvision_ops`."""
    if _torchvision_ops:
        boxes._assert_has_ops = lambda: None  # type: ignore[attr-defined]


# -------------------------------------------------------------------------------------- mmcv's NMS


def offer_p_nms(nms: ModuleType) -> None:
    """Let ``nms=dict(type='p_nms(idxs)', ...)`` in a model's test_cfg mean :func:`mmext.ops.pnms.p_nms`.

    mmcv evaluates the type among the names of its own module and has no registry of NMS operators.
    """

    def p_nms(*args: Any, **options: Any) -> Any:
        from .ops.pnms.single import p_nms as build
        return build(*args, **options)

    nms.p_nms = p_nms  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------ import hook


class _RepairOnImport(importlib.abc.MetaPathFinder):
    """Runs a repair just before or just after one module is imported for the first time."""

    def __init__(self) -> None:
        self.before: dict[str, Callable[[], None]] = {'torchvision': declare_torchvision_ops}
        self.after: dict[str, Callable[[ModuleType], None]] = {
            'mmengine.config.utils': mend_config_utils,
            'mmengine.config.config': keep_scope_of_hosts,
            'torchvision.ops.boxes': let_torchvision_nms_run,
            'mmcv.ops.nms': offer_p_nms,
        }

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname in self.before:
            self.before.pop(fullname)()
        if fullname not in self.after:
            return None
        action = self.after.pop(fullname)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            action(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def arm() -> None:
    """Put the import-time repairs in place. Cheap and idempotent."""
    if any(isinstance(finder, _RepairOnImport) for finder in sys.meta_path):
        return
    finder = _RepairOnImport()
    for name in [name for name in finder.after if name in sys.modules]:
        finder.after.pop(name)(sys.modules[name])
    sys.meta_path.insert(0, finder)


# ------------------------------------------------------------------- behaviour of mmext's own tools


def refuse_pickled_checkpoints(trust: bool) -> None:
    """Load checkpoints without running code from them.

    mmengine tries a safe load first, but on failure falls back to full unpickling with a mere
    warning, and downloads are unpickled straight away: code in a file from the internet runs.

    Args:
        trust: Give the host its behaviour back (``--trust-checkpoint``).
    """
    import mmengine.runner.checkpoint as host

    from .engine.checkpoint import load_file, load_url
    host._safe_torch_load = functools.partial(load_file, trust=trust)  # type: ignore[assignment]
    host.load_url = functools.partial(load_url, trust=trust)  # type: ignore[assignment]


def _put_atomically(self: Any, obj: bytes, filepath: str | Path) -> None:
    from .engine.checkpoint.saving import durable_file
    with durable_file(Path(filepath)) as file:
        file.write(obj)


def write_files_atomically() -> None:
    """Write checkpoints under a temporary name, then rename.

    mmengine opens the final name for writing: a crash leaves a truncated ``epoch_N.pth`` that
    ``--resume`` then trips over. It also builds the whole file in memory first.
    """
    import mmengine.runner.checkpoint as host
    import mmengine.runner.runner as runner
    from mmengine.fileio.backends import LocalBackend

    from .engine.checkpoint.saving import write_checkpoint

    LocalBackend.put = _put_atomically  # type: ignore[method-assign]
    if hasattr(runner.save_checkpoint, 'by_host'):
        return
    save = host.save_checkpoint

    @functools.wraps(save)
    def save_checkpoint(checkpoint: dict, filename: str, file_client_args: dict | None = None,
                        backend_args: dict | None = None) -> None:
        if '://' in filename or file_client_args or backend_args:
            save(checkpoint, filename, file_client_args, backend_args)
        else:
            write_checkpoint(checkpoint, filename)

    save_checkpoint.by_host = save  # type: ignore[attr-defined]
    runner.save_checkpoint = save_checkpoint


def resume_from_whole_checkpoints() -> None:
    """Let ``--resume`` look for the newest checkpoint that is whole.

    mmengine takes the name in ``last_checkpoint`` without a look at the file.
    """
    import mmengine.runner.runner as runner

    from .engine.checkpoint.newest import newest_checkpoint

    def find_latest_checkpoint(path: str) -> str | None:
        import logging

        from mmengine.logging import print_log
        found, passed = newest_checkpoint(path)
        for line in passed:
            print_log(f'not resumed from: {line}', 'current', logging.WARNING)
        if found is None:
            print_log(f'no checkpoint in {path}: training starts from the beginning', 'current')
        return None if found is None else str(found)

    runner.find_latest_checkpoint = find_latest_checkpoint


def repair(trust_checkpoint: bool = False) -> None:
    """Apply every repair; mmext's tools call this before they import a host.

    Args:
        trust_checkpoint: Allow checkpoints that can only be read by full unpickling.
    """
    arm()
    refuse_pickled_checkpoints(trust_checkpoint)
    write_files_atomically()
    resume_from_whole_checkpoints()


# ------------------------------------------------------------------------- for the hosts' own tools

START_UP_FILE = 'mmext-hosts.pth'
_START_UP_LINE = "import importlib.util as u; u.find_spec('mmext') and __import__('mmext')\n"


def arm_every_process(site_packages: Path) -> Path:
    """Arm the import-time repairs in every process of this Python environment.

    The hosts' own scripts import torchvision and read configs before anything of mmext is
    imported. A start-up file makes Python import mmext (a few milliseconds) first.

    Args:
        site_packages: The environment's folder of packages.

    Returns:
        The file that was written; delete it to undo.
    """
    file = site_packages / START_UP_FILE
    file.write_text(_START_UP_LINE)
    return file


REPAIRS = (
    Repair('config scopes', "mmengine resolves neither _base_ = 'mmext::...' nor 'mmseg::...'",
           'mmengine looks scopes up by module name', _name_map_lacks_scopes),
    Repair('one reading of metafiles', "mmengine parses all of a host's metafiles for every inherited config",
           'mmengine keeps them', lambda: True),
    Repair('torchvision operators', "torchvision's compiled part does not load beside this torch",
           'a torchvision wheel that matches torch is installed', torchvision_extension_is_broken),
    Repair('P-NMS', 'mmcv finds operators of test_cfg.nms only among the names of its own module',
           'mmcv has a registry of them', lambda: True),
    Repair('safe checkpoints', 'mmengine falls back to full unpickling of downloaded files',
           'mmengine refuses instead', lambda: True),
    Repair('atomic files', 'mmengine writes checkpoints straight to their final name',
           'mmengine writes and renames', lambda: True),
    Repair('whole checkpoints', 'mmengine resumes from a damaged or missing file',
           'mmengine looks for a whole one', lambda: True),
)
