"""Accepts jobs and runs attempts.

ports.py      what tasks and HTTP need of this
runtime.py    store and engine of one process: accept, look up, wait, cancel
"""
