"""The words of offramp as plain values: no input, no output, no other package."""
