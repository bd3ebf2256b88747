"""Backbones: a tuple of NCHW maps chosen by ``out_indices``, for any input size."""
