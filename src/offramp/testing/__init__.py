"""Shipped fakes: for offramp's own tests and for its users'."""
