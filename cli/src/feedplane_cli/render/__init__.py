"""Views turned into what rich draws, without any I/O."""
