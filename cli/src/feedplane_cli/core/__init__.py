"""What the command decides and says, without any I/O."""
