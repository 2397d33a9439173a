"""What open streams of events cost, and how soon they tell."""
