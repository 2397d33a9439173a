"""One app for each peer: what its worker runs, and how a program submits and waits."""
