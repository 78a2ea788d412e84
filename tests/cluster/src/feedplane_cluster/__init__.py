"""A local cluster and servers for the demo and the tests; it must not know the product's code."""
