"""What is due: the feed, and what earlier ticks have carried."""
