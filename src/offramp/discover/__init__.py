"""Finds the recurring tasks in a sequence of calls, without tags, and assigns new calls to them."""
