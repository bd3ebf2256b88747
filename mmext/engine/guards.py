"""What ``mmext train`` adds to a config, so that no work is lost and nothing fails in silence."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmengine.config import Config

#: Hooks that a config gets unless it has one of that type itself.
HOOKS = ('mmext.ExactResumeHook', 'mmext.NonFiniteHook', 'mmext.PreemptionHook', 'mmext.DataTimeHook',
         'mmext.LoadReportHook')


def add_guards(cfg: Config) -> None:
    """Add the hooks of :mod:`mmext.engine.hooks` to a config, in place.

    The checkpoint hook is exchanged for mmext's, which takes the same arguments. What the config
    says itself stays: another checkpoint hook, or a guard with other arguments.
    """
    defaults: dict[str, Any] = dict(cfg.get('default_hooks') or {})
    if 'checkpoint' not in defaults:
        defaults['checkpoint'] = dict(type='CheckpointHook', interval=1)
    hook = defaults['checkpoint']
    if isinstance(hook, dict) and hook.get('type', 'CheckpointHook') in ('CheckpointHook',
                                                                          'mmengine.CheckpointHook'):
        defaults['checkpoint'] = dict(hook, type='mmext.CheckpointHook')
    cfg.default_hooks = defaults
    custom = list(cfg.get('custom_hooks') or [])
    present = {hook.get('type') for hook in custom if isinstance(hook, dict)}
    cfg.custom_hooks = custom + [dict(type=name) for name in HOOKS if name not in present]


def add_load_report(cfg: Config, strict: bool) -> None:
    """Report what of the checkpoint fits before a test, in place.

    Args:
        cfg: The config of the test.
        strict: Refuse a checkpoint that lacks weights of the model.
    """
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), dict(type='mmext.LoadReportHook', strict=strict)]


def add_leaderboard(runner: Any, **arguments: Any) -> None:
    """Let a Runner keep a record of its evaluations, unless its config has that hook itself.

    Args:
        runner: The Runner, before it starts.
        **arguments: For :class:`mmext.engine.hooks.leaderboard_hook.LeaderboardHook`.
    """
    from .hooks.leaderboard_hook import LeaderboardHook
    if not any(isinstance(hook, LeaderboardHook) for hook in runner.hooks):
        runner.register_hook(LeaderboardHook(**arguments))
