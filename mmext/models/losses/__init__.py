"""Losses that the hosts lack or compute differently."""
