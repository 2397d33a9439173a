"""Jobs that do nothing, from submit to result, over each engine and store, and over peers."""
