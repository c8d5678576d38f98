"""Where calls and results are kept: the port, SQLite, encryption."""
