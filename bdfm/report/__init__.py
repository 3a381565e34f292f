"""Files in, folders of results out: a month, a book's risk and stress, a check of data; and pages."""
