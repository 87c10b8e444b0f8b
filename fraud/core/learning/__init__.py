"""What learning from late labels goes by: outcomes, the mixture, the gate, the guard."""
