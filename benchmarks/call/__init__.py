"""Calls of a task that does nothing, beside a bare echo over a Unix socket."""
