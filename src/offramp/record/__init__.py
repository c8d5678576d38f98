"""Taps calls without delaying them, and writes them down without the names of who asked."""
