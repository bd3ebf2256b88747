"""The registered metrics: ``type='mmext.CocoMetric'`` and the like."""
