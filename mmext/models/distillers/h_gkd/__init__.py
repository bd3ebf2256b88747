"""H-GKD: a convolutional network learns what a masked autoencoder infers behind the mask, without labels.

Heterogeneous Generative Knowledge Distillation with Masked Image Modeling (Ziming Wang et al., 2023,
arXiv 2309.09571). No code was released; the student is built on mmpretrain's SparK, and the losses are
our reading of the abstract.
"""
