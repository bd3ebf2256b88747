"""Necks: from the maps of a backbone to those of a head."""
