"""The teacher: the port and OpenAI-compatible servers, recorded calls replayed, apps served on a socket."""
