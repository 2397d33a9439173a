"""What the README claims, measured: each module is one command, `python -m benchmarks.<name>`."""
