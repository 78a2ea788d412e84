"""Feedplane's feeder."""
