"""How many webhooks are delivered, and whether a receiver that hangs delays the others."""
