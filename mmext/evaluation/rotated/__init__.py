"""Evaluation of oriented boxes: overlaps of the pairs that can overlap, matching, merging of tiles."""
