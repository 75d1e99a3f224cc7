"""Archives of results that travel with sfnbench, and where a new method stands among them."""
