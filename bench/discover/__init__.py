"""Task discovery against known call sites, beside what others do."""
