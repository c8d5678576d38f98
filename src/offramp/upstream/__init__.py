"""The teacher: the port and OpenAI-compatible servers."""
