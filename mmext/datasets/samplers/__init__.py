"""Orders in which samples are read."""
from .multi_dataset_sampler import MultiDatasetSampler

__all__ = ['MultiDatasetSampler']
