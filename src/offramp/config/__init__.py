"""The settings tree and its one loader."""
