"""What specialists need (memory, device seconds, money) and whether that is worth it: pure arithmetic."""
