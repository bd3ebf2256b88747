"""Heads of detectors."""
