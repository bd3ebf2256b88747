"""Measuring a model: operations, speed, and what it confuses with what."""
