"""Kills and stops processes of every kind while jobs are accepted, and looks what that has cost."""
