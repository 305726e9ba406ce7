"""A report on a screen that one moves over: what lights up, how it is laid out, the explorer and the player."""
