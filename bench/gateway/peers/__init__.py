"""The gateways that are compared: how each is installed, configured and started."""
