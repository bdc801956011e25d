"""Clouds that tests run against, over HTTP; refuses to be imported by anything but tests and the demo's own switch."""
