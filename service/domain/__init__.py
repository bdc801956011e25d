"""What is true: values and the rules between them; refuses input, output and every third-party import."""
