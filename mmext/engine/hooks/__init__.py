"""Hooks of the Runner; a config names them ``type='mmext.X'``, ``mmext train`` adds the first three itself.

* :class:`~mmext.engine.hooks.checkpoint_hook.CheckpointHook`: files that survive a crash at any moment
* :class:`~mmext.engine.hooks.exact_resume_hook.ExactResumeHook`: a resumed run equals an undisturbed one
* :class:`~mmext.engine.hooks.preemption_hook.PreemptionHook`: save and leave on SIGTERM
* :class:`~mmext.engine.hooks.nonfinite_hook.NonFiniteHook`: say which loss or gradient is not finite
* :class:`~mmext.engine.hooks.leaderboard_hook.LeaderboardHook`: records every evaluation
"""
