"""Faults put into a running feed, and the referee that counts what they cost."""
