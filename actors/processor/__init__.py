"""A processor: asks for jobs, runs them, reports what became of them."""
