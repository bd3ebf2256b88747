"""MGD: distillation at the granularities of pixel, region and image for semi-supervised segmentation.

Multi-Granularity Distillation Scheme Towards Lightweight Semi-Supervised Semantic Segmentation
(Jie Qin et al., ECCV 2022, arXiv 2208.10169). Official code: github.com/JayQine/MGD-SSSS. Not to be
confused with Masked Generative Distillation, which is called MGD too.
"""
