"""Engines run models: the port, the embedded CPU engine, servers over HTTP."""
