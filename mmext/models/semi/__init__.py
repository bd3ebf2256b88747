"""Semi-supervised detection: Cycle Self-Training."""
