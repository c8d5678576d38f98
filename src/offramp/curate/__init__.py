"""Turns the calls of a task into training data: filter, deduplicate, split, render, describe."""
