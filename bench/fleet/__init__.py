"""What shared devices are worth: simulated placements beside baselines, and the simulator beside closed forms."""
