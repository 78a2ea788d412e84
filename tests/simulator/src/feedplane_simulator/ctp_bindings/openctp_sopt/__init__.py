"""Stands in for a binding of the stock-option library; none is published."""
