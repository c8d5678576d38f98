"""What was found, proven and missed, as one summary: a web page, a plain-text table, JSON."""
