"""The networks that Guidance makes trainable; its loss is ``mmext.models.distillers.losses.guidance``."""
