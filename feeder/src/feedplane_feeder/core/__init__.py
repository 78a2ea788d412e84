"""Pure decisions of the feeder."""
