"""KD-CI-CAM: weakly supervised localisation by a causal context pool and two teachers.

Knowledge-guided Causal Intervention for Weakly-supervised Object Localization (Shao et al., 2023,
arXiv 2301.01060). Official repository: github.com/shaofeifei11/KG-CI-CAM (no licence file).
"""
