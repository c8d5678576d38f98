"""Simulating a placement under real arrivals: engines by their iterations, and faster models above."""
