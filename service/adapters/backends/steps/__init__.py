"""What every way of running a step shares: its words, its metrics, the digests of what it reads and makes, its environment;
refuses to know any backend, and needs the standard library only, since it also runs inside containers."""
