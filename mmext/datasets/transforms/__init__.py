"""Steps of data pipelines."""
