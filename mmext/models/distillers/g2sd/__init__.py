"""G2SD: a small plain ViT distilled from a masked autoencoder, first in general, then for a task.

Generic-to-Specific Distillation of Masked Autoencoders (Wei Huang et al., CVPR 2023, arXiv
2302.14771). Official code: github.com/pengzhiliang/G2SD.
"""
