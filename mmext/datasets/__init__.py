"""Datasets, transforms and samplers; embedded toy data in :mod:`mmext.datasets.toy`."""
