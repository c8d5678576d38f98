"""The certified takeover beside its peers: same calls, same splits, same promise."""
