"""Feedplane's operator."""
