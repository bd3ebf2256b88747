"""Assigners, match costs and geometry."""
