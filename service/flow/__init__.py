"""What happens next: one file for each arrow of the flow; arrows meet only through the store and their callers."""
