"""Feedplane simulator: venues' own wire protocols over real sockets, with ground truth."""
