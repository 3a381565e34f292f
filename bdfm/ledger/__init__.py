"""A book of months: what was forecast and decided, entered once, never changed, judged when it is over."""
