"""Do the certificates hold? Simulations in which the true risk is known."""
