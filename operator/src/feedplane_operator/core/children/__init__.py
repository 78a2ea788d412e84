"""One pure builder per child kind."""
