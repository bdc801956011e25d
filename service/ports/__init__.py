"""What the flow needs from the outside world, as Protocols of at most five verbs; refuses vendors."""
