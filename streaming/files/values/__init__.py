"""What a value of a table means: the mapping that says so, times, amounts and words, row by row or as columns."""
