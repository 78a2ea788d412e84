"""The contract that operator and feeder share."""
