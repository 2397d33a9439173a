"""A POST that accepts a job, beside a bare one on the same server."""
