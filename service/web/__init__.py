"""HTTP: webhooks in, the API and pages out; refuses adapters, settings and rules of its own."""
