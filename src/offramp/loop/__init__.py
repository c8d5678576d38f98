"""Orders the stages: from recorded calls to certified, deployed specialists."""
