"""What runs around a model: config checks, checkpoints, hooks."""
