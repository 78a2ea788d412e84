"""The feedplane command: what a person does with feeds, from a terminal."""
