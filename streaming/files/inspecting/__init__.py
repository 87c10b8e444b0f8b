"""What a file holds, and a mapping for it: guessed from names and values, and told as a guess."""
