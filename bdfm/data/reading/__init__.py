"""Tables of any common form from files: bytes to text, text to rows, rows to days and numbers."""
