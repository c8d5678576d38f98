"""What shared devices are worth: simulated placements and baselines, and closed forms."""
