"""One module per store or bus."""
