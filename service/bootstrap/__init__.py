"""The only composition root: settings in, wired rooms out, one file for each way to start; refuses rules."""
