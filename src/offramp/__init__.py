"""offramp: takes an agent's routine calls off the large model, one certified task at a time."""

__version__ = "0.1.0"
