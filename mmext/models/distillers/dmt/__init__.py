"""DMT: one small vision transformer distilled from several self-supervised ones, without labels.

Comprehensive Distillation with Multiple Self-supervised Teachers (Yuang Liu et al., ICASSP 2024,
arXiv 2312.11938). No code was released, and the losses here are our reading of the abstract.
"""
