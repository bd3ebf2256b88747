"""Segmentors that are methods of their own."""
