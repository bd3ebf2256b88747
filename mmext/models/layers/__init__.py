"""Parts that more than one plug-in uses."""
