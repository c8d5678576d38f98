"""The whole loop on bundled recorded traffic: replay, record, discover, train, certify, serve, compare."""
